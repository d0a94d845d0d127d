"""A reviewer's own words: what they said and may take back, what they skipped, what they began."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from alignment.models import Project, Review, ReviewDraft, ReviewItem, ReviewTally, Stage, Status
from alignment.queries.desk import Progress, progress

OPEN = Q(item__stage__status=Status.WAITING)


def own_reviews(project: Project, user: User, decision: str = "") -> "QuerySet[Any]":
    """The person's standing reviews, newest first; `settled` where another word stands above one,
    so that it cannot be taken back. Those made in bulk are left out."""
    adjudication = Review.objects.filter(
        item=OuterRef("item"), adjudicates=True, withdrawn_at=None
    ).exclude(pk=OuterRef("pk"))
    found = _mine(project, user).annotate(settled=Exists(adjudication))
    if decision in Review.Decision.values:
        found = found.filter(decision=decision)
    return found.select_related("item__stage__run", "item__prompt").order_by("-created_at", "-pk")


def left_for(project: Project, user: User) -> int:
    """Rewrites that still take a review of this person, by the counters of the open stages."""
    stages = Stage.objects.filter(run__project=project, kind="review", status=Status.WAITING)
    rows = stages.values_list("pk", F("total") - F("done") - F("disputed"))
    left = dict(rows)
    tallies = ReviewTally.objects.filter(stage__in=list(left), reviewer__user=user)
    return sum(left.values()) - sum(tallies.values_list("open", flat=True))


def skipped(project: Project, user: User) -> int:
    """Rewrites that the person skipped and could still review."""
    found = _mine(project, user).filter(OPEN, decision=Review.Decision.SKIP)
    return found.filter(item__state=ReviewItem.State.PENDING).count()


def drafts(project: Project, user: User) -> "QuerySet[ReviewDraft]":
    """What the person wrote in the project and has not submitted, newest first."""
    found = ReviewDraft.objects.filter(reviewer__user=user, reviewer__project=project)
    found = found.exclude(text="", words="")
    return found.select_related("item__stage__run", "item__prompt").order_by("-saved_at")


def closing(project: Project) -> list[Progress]:
    """The project's complete review stages whose time to undo runs."""
    found = Stage.objects.filter(run__project=project, status=Status.WAITING)
    return [progress(stage) for stage in found.exclude(closes_at=None).order_by("closes_at")]


def _mine(project: Project, user: User) -> "QuerySet[Review]":
    return Review.objects.filter(
        reviewer__user=user, reviewer__project=project, withdrawn_at=None, bulk=None
    )


def said_of(items: Sequence[ReviewItem]) -> dict[int, list[Review]]:
    """The standing reviews of disputed rewrites, by rewrite; for who may adjudicate them."""
    found: dict[int, list[Review]] = {item.pk: [] for item in items}
    standing = Review.objects.filter(item__in=list(found), withdrawn_at=None)
    for review in standing.select_related("reviewer").order_by("pk"):
        found[review.item_id].append(review)
    return found
