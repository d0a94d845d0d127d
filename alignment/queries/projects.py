"""Projects as a person sees them: those they are a member of, what each holds, and its workers.

Runs and their stages are in `queries.runs`, figures in `queries.results`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import BooleanField, Case, Count, F, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce, Now

from alignment import lifecycle
from alignment.models import (
    Dimension,
    Project,
    Prompt,
    Stage,
    Status,
    Worker,
)

FRESH = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a project holds: prompts are seeds; reviews are rewrites waiting for a person, those in
    dispute among them."""

    runs: int
    live: int
    prompts: int
    reviews: int
    disputed: int
    policies: int
    evaluations: int


def projects_of(user: User) -> "QuerySet[Any]":
    """The projects the user may see, with their numbers of runs and of live runs."""
    found = Project.objects.all() if user.is_superuser else user.project_set.all()
    live = Q(runs__status__in=lifecycle.LIVE)
    return found.annotate(
        run_count=Count("runs", distinct=True),
        live_count=Count("runs", filter=live, distinct=True),
    ).order_by("name")


def counts(project: Project) -> Counts:
    waiting = Stage.objects.filter(
        run__project=project, kind="review", status=Status.WAITING
    ).aggregate(
        left=Coalesce(Sum(F("total") - F("done")), 0), disputed=Coalesce(Sum("disputed"), 0)
    )
    return Counts(
        runs=project.runs.count(),
        live=project.runs.filter(status__in=lifecycle.LIVE).count(),
        prompts=Prompt.objects.filter(prompt_set__project=project, parent=None).count(),
        reviews=waiting["left"],
        disputed=waiting["disputed"],
        policies=project.policies.count(),
        evaluations=project.evaluations.count(),
    )


def prompt_sets(project: Project) -> "QuerySet[Any]":
    """The project's prompt sets with their numbers of seeds and of rewrites."""
    rewrite = Q(prompts__parent__isnull=False)
    return project.prompt_sets.annotate(
        seeds=Count("prompts", filter=~rewrite), rewrites=Count("prompts", filter=rewrite)
    )


def dimensions(project: Project) -> "QuerySet[Dimension]":
    return project.dimensions.prefetch_related("judges")


def policies(project: Project) -> "QuerySet[Any]":
    """The project's policies, newest first, with what each was trained from and by."""
    found = project.policies.select_related("parent", "stage__run")
    return found.annotate(evaluation_count=Count("evaluations")).order_by("-pk")


def workers() -> "QuerySet[Any]":
    """Every worker that has said it lives, with the age of its heartbeat by the database's clock;
    `fresh` is false for one that has stopped saying so."""
    return Worker.objects.annotate(
        now=Now(),
        fresh=Case(
            When(heartbeat_at__gte=Now() - FRESH, then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        ),
        free=F("slots") - F("busy"),
    ).order_by("queue", "name")
