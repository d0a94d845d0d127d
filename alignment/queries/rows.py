"""The rows of one run as lists that can be read on from anywhere.

Stages may reuse another run's results, so rows are read through `stage.source`.
"""

from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Coalesce

from alignment.models import Event, Pair, RewriteAttempt, Rollout, Run


def events_after(run: Run, seq: int) -> "QuerySet[Event]":
    """The run's events numbered above `seq`, in order."""
    return run.events.filter(seq__gt=seq).order_by("seq")


def rollouts_of(run: Run) -> "QuerySet[Rollout]":
    """The rollouts that the run sampled or reused, with their scores."""
    found = Rollout.objects.filter(sampling__stage__in=_sources(run))
    return found.select_related("sampling").prefetch_related("scores__judge__dimension")


def attempts_of(run: Run) -> "QuerySet[RewriteAttempt]":
    """What the rewriter replied in the run or in those whose rewrites it reused."""
    found = RewriteAttempt.objects.filter(stage__in=_sources(run))
    return found.select_related("parent", "stage").order_by("pk")


def pairs_of(run: Run) -> "QuerySet[Pair]":
    """The pairs that the run selected, with their texts."""
    found = Pair.objects.filter(stage__in=_sources(run))
    return found.select_related("prompt", "chosen", "rejected")


def _sources(run: Run) -> "QuerySet[Any]":
    return run.stages.values(source_id=Coalesce("reused_from", "pk"))
