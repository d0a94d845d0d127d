"""A reviewer's own pace and words: what they said and may take back, skipped or began."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now, TruncDay

from alignment.models import (
    Project,
    Review,
    ReviewDraft,
    Reviewer,
    ReviewItem,
    ReviewTally,
    Stage,
    Status,
)
from alignment.queries.desk import Progress, progress
from alignment.reviewing import DECISIVE

OPEN = Q(item__stage__status=Status.WAITING)
RECENT = 20


@dataclass(frozen=True, kw_only=True)
class Own:
    """A person's own standing in a project. today: reviews since midnight (UTC); seconds: median
    from getting to submitting the latest 20, None without; recent: their latest standing word, if
    any."""

    today: int
    seconds: float | None
    recent: list[Review]


def own(project: Project, user: User) -> Own:
    """The person's own pace and latest review; bulk decisions do not count, nor those imported,
    nor is one counted again in a rerun that began with it."""
    mine = _mine(project, user).filter(source="").order_by("-created_at", "-pk")
    given = mine.filter(carried_from=None)
    times = given.values_list("created_at", "leased_at")[:RECENT]
    spent = [(done - begun).total_seconds() for done, begun in times if begun]
    today = given.filter(created_at__gte=TruncDay(Now()), decision__in=DECISIVE).count()
    recent = list(mine.select_related("item__stage")[:1])
    return Own(today=today, seconds=median(spent) if spent else None, recent=recent)


def own_reviews(project: Project, user: User, decision: str = "") -> "QuerySet[Any]":
    """The person's standing reviews, newest first; `settled` where another word stands above one,
    so that it cannot be taken back. Those made in bulk are left out; one that a rerun began with
    is listed in the newest."""
    adjudication = Review.objects.filter(
        item=OuterRef("item"), adjudicates=True, withdrawn_at=None
    ).exclude(pk=OuterRef("pk"))
    found = _latest(_mine(project, user)).annotate(settled=Exists(adjudication))
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
    found = _latest(_mine(project, user)).filter(OPEN, decision=Review.Decision.SKIP)
    return found.filter(item__state=ReviewItem.State.PENDING).count()


def drafts(project: Project, user: User) -> "QuerySet[ReviewDraft]":
    """What the person wrote in the project and has not submitted, newest first."""
    found = ReviewDraft.objects.filter(reviewer__user=user, reviewer__project=project)
    unedited = Q(text="") | Q(text=F("item__prompt__text"))
    found = found.exclude(unedited, words="")
    return found.select_related("item__stage__run", "item__prompt").order_by("-saved_at")


def closing(project: Project) -> list[Progress]:
    """The project's complete review stages whose time to undo runs."""
    found = Stage.objects.filter(run__project=project, status=Status.WAITING)
    return [progress(stage) for stage in found.exclude(closes_at=None).order_by("closes_at")]


def _mine(project: Project, user: User) -> "QuerySet[Review]":
    """By the reviewer's id, for that is what the index goes by."""
    me = Reviewer.objects.filter(project=project, user=user).values("pk")[:1]
    return Review.objects.filter(reviewer=Subquery(me), withdrawn_at=None, bulk=None)


def _latest(mine: "QuerySet[Review]") -> "QuerySet[Review]":
    """Without those of which a later run has a standing copy: the same word at the same time, which
    is what the index goes by."""
    copies = Review.objects.filter(
        reviewer=OuterRef("reviewer"),
        created_at=OuterRef("created_at"),
        item__prompt=OuterRef("item__prompt"),
        carried_from__isnull=False,
        pk__gt=OuterRef("pk"),
        bulk=None,
        withdrawn_at=None,
    )
    return mine.exclude(Exists(copies))


def said_of(items: Sequence[ReviewItem]) -> dict[int, list[Review]]:
    """The standing reviews of disputed rewrites, by rewrite; for who may adjudicate them."""
    found: dict[int, list[Review]] = {item.pk: [] for item in items}
    standing = Review.objects.filter(item__in=list(found), withdrawn_at=None)
    for review in standing.select_related("reviewer").order_by("pk"):
        found[review.item_id].append(review)
    return found
