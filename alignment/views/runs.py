"""A project's runs, the page of one, and what people may do with it."""

import csv
import json
from collections.abc import Callable
from contextlib import suppress

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from alignment.method.errors import MoraError
from alignment.models import Role, Run
from alignment.permissions import may
from alignment.queries import rows, runs
from alignment.services import runs as verbs
from alignment.views.access import Request, project_for, run_for
from alignment.views.csv_files import csv_file

PAGE = 50
OUTCOMES = ("accepted", "refused")


@require_safe
def run_list(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    query = request.GET.get("q", "").replace("\x00", "")
    page = Paginator(runs.runs_of(project, query), PAGE).get_page(request.GET.get("page"))
    return render(request, "runs.html", {"project": project, "page": page, "query": query})


@require_safe
def run_page(request: Request, slug: str, run_id: int) -> HttpResponse:
    run = run_for(request, slug, run_id)
    context = {
        "project": run.project,
        "state": runs.run_state(run.pk),
        "may_run": may(request.user, run.project, Role.RESEARCHER),
        "config": json.dumps(run.config, indent=2, ensure_ascii=False),
        "warnings": _warnings(run),
    }
    return render(request, "run.html", context)


def _warnings(run: Run) -> list[str]:
    with suppress(verbs.BadConfig):  # an older run's, from when a configuration was another
        return verbs.warnings(run.project, verbs.parse_config(run.config))
    return []


@require_POST
def start_run(request: Request, slug: str, run_id: int) -> HttpResponse:
    return _act(request, slug, run_id, verbs.start_run)


@require_POST
def cancel_run(request: Request, slug: str, run_id: int) -> HttpResponse:
    return _act(request, slug, run_id, verbs.cancel_run)


@require_POST
def retry_run(request: Request, slug: str, run_id: int) -> HttpResponse:
    return _act(request, slug, run_id, verbs.retry_run)


def _act(request: Request, slug: str, run_id: int, verb: Callable[..., None]) -> HttpResponse:
    run = run_for(request, slug, run_id, Role.RESEARCHER)
    try:
        verb(run=run, by=request.user)
    except MoraError as error:
        messages.error(request, str(error))
    return redirect("run", slug, run_id)


@require_safe
def run_log(request: Request, slug: str, run_id: int) -> HttpResponse:
    run = run_for(request, slug, run_id)
    text = "".join(
        f"{line.at:%Y-%m-%d %H:%M:%S} round {line.stage.round} {line.stage.kind}: {line.text}\n"
        for line in runs.log_lines(run).iterator(chunk_size=2000)
    )
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="run-{run.pk}.log"'
    return response


@require_safe
def attempts(request: Request, slug: str, run_id: int) -> HttpResponse:
    """What the rewriter replied, and why it was refused or accepted."""
    run = run_for(request, slug, run_id)
    found, outcome = rows.attempts_of(run), request.GET.get("outcome", "")
    if outcome in OUTCOMES:
        found = found.filter(accepted=outcome == "accepted")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {"project": run.project, "run": run, "page": page, "outcome": outcome}
    return render(request, "attempts.html", {**context, "outcomes": OUTCOMES})


@require_safe
def training_csv(request: Request, slug: str, run_id: int) -> HttpResponse:
    run = run_for(request, slug, run_id)
    response = csv_file(f"run-{run.pk}-training")
    writer = csv.writer(response)
    writer.writerow(["round", "step", "loss", "margin", "accuracy"])
    for training in runs.run_state(run.pk).trainings:
        for s in training.steps:
            writer.writerow([training.round, s.step, s.loss, s.margin, s.accuracy])
    return response
