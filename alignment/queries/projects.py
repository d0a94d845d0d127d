"""Projects as a person sees them: those they are a member of, what each holds, and its workers.

Runs and their stages are in `queries.runs`, figures in `queries.results`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import BooleanField, Case, Count, F, Q, QuerySet, Value, When
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.models import (
    Dimension,
    Project,
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


_COUNTS = """
SELECT
  (SELECT count(*) FROM alignment_run WHERE project_id = %(project)s),
  (SELECT count(*) FROM alignment_run WHERE project_id = %(project)s AND status = ANY(%(live)s)),
  (SELECT count(*) FROM alignment_prompt p JOIN alignment_promptset s ON s.id = p.prompt_set_id
   WHERE s.project_id = %(project)s AND p.parent_id IS NULL),
  (SELECT count(*) FROM alignment_policy WHERE project_id = %(project)s),
  (SELECT count(*) FROM alignment_evaluation WHERE project_id = %(project)s),
  coalesce(sum(s.total - s.done), 0)::int, coalesce(sum(s.disputed), 0)::int
FROM alignment_stage s JOIN alignment_run r ON r.id = s.run_id
WHERE r.project_id = %(project)s AND s.kind = 'review' AND s.status = 'waiting'
"""


def counts(project: Project) -> Counts:
    """In one query, since every page asks; reviews by the counters of their stages."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"project": project.pk, "live": [*map(str, lifecycle.LIVE)]})
        runs, live, prompts, policies, evaluations, reviews, disputed = cursor.fetchone()
    return Counts(
        runs=runs,
        live=live,
        prompts=prompts,
        reviews=reviews,
        disputed=disputed,
        policies=policies,
        evaluations=evaluations,
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
