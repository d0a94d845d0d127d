"""The rewrites of a review stage by filter, and one decision for all of them: shown before it is
made, and undone as a whole."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from alignment.method.errors import MoraError
from alignment.models import BulkDecision, Project, Review, ReviewItem, Role, Stage
from alignment.permissions import who_may
from alignment.queries import desk
from alignment.review_filters import ReviewFilter, filtered
from alignment.services.bulk import apply_bulk, preview_bulk, undo_bulk
from alignment.services.queue import assign_items
from alignment.views.access import Request, project_for
from alignment.views.desk import address_of, stage_asked
from alignment.views.reviews import answer_in

PAGE, SAMPLE = 50, 8
PARTS = ("state", "strategy", "missing", "contains")


@require_safe
def rewrites(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug, Role.ADJUDICATOR)
    stage = stage_asked(request, project)
    return _rewrites(request, project, stage)


def _rewrites(
    request: Request, project: Project, stage: Stage | None, error: str = ""
) -> HttpResponse:
    context: dict[str, object] = {"project": project, "stage": stage, "error": error}
    if stage is not None:
        chosen = _chosen(request, stage)
        found = filtered(chosen).select_related("prompt", "assigned_to")
        open_ones = found.filter(state__in=("pending", "disputed"))
        context |= {
            "chosen": chosen,
            "stages": desk.review_stages(project)[:50],
            "page": Paginator(desk.with_given(found), PAGE).get_page(request.GET.get("page")),
            "undecided": open_ones.count(),
            "states": ["undecided", *ReviewItem.State.values],
            "dimensions": project.dimensions.values_list("name", flat=True),
            "reasons": Review.Reason.choices,
            "made": stage.bulk_decisions.exclude(applied_at=None).select_related("by")[:20],
            "said": answer_in(request.POST),
            "reviewers": who_may(project, Role.ANNOTATOR).values_list("username", flat=True),
        }
    return render(request, "rewrites.html", context, status=422 if error else 200)


def _chosen(request: Request, stage: Stage) -> ReviewFilter:
    given = request.POST if request.method == "POST" else request.GET
    return ReviewFilter(stage=stage.pk, **{name: given.get(name, "") for name in PARTS})


@require_POST
def preview(request: Request, slug: str) -> HttpResponse:
    """What a decision for the whole filter would change; nothing is decided yet."""
    project = project_for(request, slug, Role.ADJUDICATOR)
    stage = stage_asked(request, project)
    if stage is None:
        return redirect("rewrites", slug)
    chosen = _chosen(request, stage)
    try:
        bulk = preview_bulk(chosen=chosen, by=request.user, answer=answer_in(request.POST))
    except MoraError as error:
        return _rewrites(request, project, stage, str(error))
    sample = ReviewItem.objects.filter(pk__in=bulk.items[:SAMPLE]).select_related("prompt")
    left_out = filtered(chosen).count() - len(bulk.items)
    context = {
        "project": project,
        "stage": stage,
        "bulk": bulk,
        "sample": sample.order_by("pk"),
        "more": max(0, len(bulk.items) - SAMPLE),
        "left_out": left_out,
        "listed": _listed(slug, bulk.filter),
    }
    return render(request, "bulk.html", context)


@require_POST
def assign(request: Request, slug: str) -> HttpResponse:
    """Prefer a member, or nobody, for all pending rewrites that match."""
    project = project_for(request, slug, Role.ADJUDICATOR)
    stage = stage_asked(request, project)
    if stage is None:
        return redirect("rewrites", slug)
    name = request.POST.get("to", "")
    to = next((u for u in who_may(project, Role.ANNOTATOR) if u.username == name), None)
    try:
        if name and to is None:
            raise MoraError(f"{name} may not review in this project")
        chosen = _chosen(request, stage)
        found = filtered(chosen)
        count = assign_items(stage=stage, items=found, to=to, by=request.user)
    except MoraError as error:
        return _rewrites(request, project, stage, str(error))
    whom = f"assigned to {to}" if to else "nobody's in particular"
    messages.success(request, f"{count:,} pending rewrites are now {whom}.")
    return redirect(_listed(slug, chosen.as_json()))


@require_POST
def apply(request: Request, slug: str, token: UUID) -> HttpResponse:
    bulk = _bulk(request, slug, token)
    try:
        done = apply_bulk(token=bulk.token, by=request.user)
        changed = len(done.items) - done.applied
        rest = f" {changed} changed since the preview and stay as they are." if changed else ""
        messages.success(request, f"{done.applied} rewrites decided.{rest} Undo is in the list.")
    except MoraError as error:
        messages.error(request, str(error))
    return redirect(_listed(slug, bulk.filter))


@require_POST
def undo(request: Request, slug: str, token: UUID) -> HttpResponse:
    bulk = _bulk(request, slug, token)
    try:
        undone = undo_bulk(token=bulk.token, by=request.user)
        messages.success(request, f"The decision on {undone.applied} rewrites is taken back.")
    except MoraError as error:
        messages.error(request, str(error))
    return redirect(_listed(slug, bulk.filter))


def _bulk(request: Request, slug: str, token: UUID) -> BulkDecision:
    project = project_for(request, slug, Role.ADJUDICATOR)
    return get_object_or_404(BulkDecision, token=token, stage__run__project=project)


def _listed(slug: str, chosen: Mapping[str, Any]) -> str:
    """The address of the list with the filter that was asked for."""
    return address_of("rewrites", slug, **{name: part for name, part in chosen.items() if part})
