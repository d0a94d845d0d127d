"""A review desk as its people see it: progress, who holds what, what is in dispute.

Figures come from counters kept with every review, so that no page counts the queue.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now, TruncHour

from alignment.models import Project, Review, Reviewer, ReviewItem, ReviewTally, Stage, Status
from alignment.review_filters import ReviewFilter, filtered
from alignment.reviewing import DECISIVE

State = ReviewItem.State


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A review stage: rewrites listed, decided, disputed, and still taking reviews. closes_in:
    seconds until it closes, None while something is left."""

    stage: Stage
    total: int
    done: int
    disputed: int
    pending: int
    overlap: int
    closes_in: float | None
    people: list[ReviewTally]


def review_stages(project: Project) -> "QuerySet[Stage]":
    """The project's review stages that people decide or decided in, open ones first."""
    found = Stage.objects.filter(run__project=project, kind="review", total__gt=0)
    found = found.exclude(config__review__mode="skip").select_related("run__project")
    return found.order_by(F("ended_at").desc(nulls_first=True), "-pk")


def disputed_stages(project: Project) -> "QuerySet[Stage]":
    """The project's open review stages that hold disputes, those with the most first."""
    found = review_stages(project).filter(status=Status.WAITING, disputed__gt=0)
    return found.order_by("-disputed", "-pk")


def open_stages(project: Project) -> "QuerySet[Stage]":
    """The project's review stages that wait for people, oldest first."""
    found = Stage.objects.filter(run__project=project, kind="review", status=Status.WAITING)
    return found.select_related("run__project").order_by("pk")


def progress(stage: Stage) -> Progress:
    """The stage's counters as they stand, and everybody's."""
    stage = Stage.objects.select_related("run").annotate(now=Now()).get(pk=stage.pk)
    now: datetime = stage.now
    closes = stage.closes_at
    people = stage.tallies.select_related("reviewer").order_by("reviewer__name", "pk")
    return Progress(
        stage=stage,
        total=stage.total,
        done=stage.done,
        disputed=stage.disputed,
        pending=stage.total - stage.done - stage.disputed,
        overlap=stage.config["review"].get("overlap", 1),
        closes_in=max(0.0, (closes - now).total_seconds()) if closes else None,
        people=list(people),
    )


def leases(project: Project, stage: Stage | None = None) -> list[ReviewItem]:
    """The leases in force, of a stage or of all, by when they end; each item with `held_by` and its
    times."""
    found = ReviewItem.objects.filter(
        held_by__project=project, lease_expires_at__gt=Now(), state=State.PENDING
    )
    found = found.filter(stage=stage) if stage else found
    return list(
        found.select_related("held_by", "prompt", "stage__run").order_by("lease_expires_at")
    )


def throughput(stage: Stage, hours: int = 24) -> list[tuple[datetime, int]]:
    """Standing reviews per hour over the last hours, oldest first; hours without any are left
    out, and so are skips and flags."""
    found = Review.objects.filter(
        item__stage=stage,
        withdrawn_at=None,
        adjudicates=False,
        decision__in=DECISIVE,
        created_at__gt=Now() - timedelta(hours=hours),
    )
    rows = found.annotate(hour=TruncHour("created_at")).values("hour").annotate(n=Count("pk"))
    return [(row["hour"], row["n"]) for row in rows.order_by("hour")]


def with_given(items: "QuerySet[ReviewItem]") -> "QuerySet[Any]":
    """Each with `given`: its standing reviews that decide, of the `needed`."""
    decides = Q(reviews__withdrawn_at=None, reviews__adjudicates=False)
    decides &= Q(reviews__decision__in=DECISIVE)
    return items.annotate(given=Count("reviews", filter=decides))


def disputes(stage: Stage, after: int = 0) -> "QuerySet[ReviewItem]":
    """The stage's rewrites in dispute above an id, by id; who said what: `reviews_visible`."""
    found = filtered(ReviewFilter(stage=stage.pk, state=State.DISPUTED)).filter(pk__gt=after)
    return found.select_related("prompt__parent", "stage__run__project")


def nothing_left(project: Project, user: User) -> str:
    """Why there is no rewrite for the person just now, in a sentence."""
    stages = list(open_stages(project))
    if not stages:
        return "No run of this project waits for a review."
    undecided = sum(s.total - s.done for s in stages)
    if not undecided:
        return "All is decided; the run goes on when the time to undo is over."
    disputed = sum(s.disputed for s in stages)
    me = Reviewer.objects.filter(project=project, user_id=user.pk).first()
    tallies = ReviewTally.objects.filter(stage__in=stages, reviewer=me) if me else []
    seen = sum(tally.open for tally in tallies)
    others = undecided - disputed - seen
    parts = [
        f"{disputed:,} wait for an adjudicator" if disputed else "",
        f"{seen:,} that you have seen wait for somebody else" if seen else "",
        f"{others:,} are being reviewed by others just now" if others else "",
    ]
    return f"Nothing is left for you: {', '.join(filter(None, parts))}."
