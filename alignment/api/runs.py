"""Runs: check a configuration, create, start, watch, cancel, retry, and read what they found."""

from typing import Annotated, Any

from django.http import HttpResponse
from django.urls import reverse
from ninja import Query, Router, Status

from alignment.api.access import project_for, run_for
from alignment.api.auth import Request
from alignment.api.pages import MOST_ID, After, Id, Limit, Page, Slug, page
from alignment.api.row_schemas import AttemptOut, EventsOut, PairOut, RolloutOut
from alignment.api.schemas import (
    ConfigIn,
    RunIn,
    RunOut,
    RunWhole,
    StageOut,
    SweepIn,
    Warnings,
)
from alignment.models import ENDED, Role, Run
from alignment.queries import rows
from alignment.services import runs

router = Router(tags=["runs"])


@router.post("/projects/{slug}/run-validations", response=Warnings)
def validate_run(request: Request, slug: Slug, body: ConfigIn) -> dict[str, Any]:
    """Check a configuration without creating anything."""
    project = project_for(request.auth, slug)
    try:
        config = runs.parse_config(body.config)
        runs.check_config(project, config)
    except runs.BadConfig as error:
        return {"errors": error.errors, "warnings": []}
    return {"errors": {}, "warnings": runs.warnings(project, config)}


@router.post("/projects/{slug}/runs", response={201: RunWhole})
def create_run(request: Request, response: HttpResponse, slug: Slug, body: RunIn) -> Any:
    """Create a run, and start it where asked. A name that is taken answers 409."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    run = runs.create_run(project=project, name=body.name, config=body.config, by=request.auth)
    if body.start:
        runs.start_run(run=run, by=request.auth)
    response["Location"] = reverse("api-1:get_run", kwargs={"run_id": run.pk})
    return Status(201, _fresh(run))


@router.post("/projects/{slug}/sweeps", response={201: list[RunOut]})
def create_sweep(request: Request, slug: Slug, body: SweepIn) -> Any:
    """Create a run for each share of the pairs, largest first. Started at once or one by one, they
    do everything before training once, but for the start policy's evaluation."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    made = runs.create_sweep(
        project=project, name=body.name, config=body.config, shares=body.shares, by=request.auth
    )
    return Status(201, [_fresh(run) for run in made])


@router.get("/projects/{slug}/runs", response=Page[RunOut])
def list_runs(
    request: Request,
    slug: Slug,
    name: Annotated[str | None, Query(max_length=100, pattern="^[^\x00]*$")] = None,
    after: After = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """The project's runs, newest first, or the one of a name."""
    found = project_for(request.auth, slug).runs.select_related("project", "created_by")
    found = found if name is None else found.filter(name=name)
    return page(found, after, limit, newest_first=True)


@router.get("/runs/{run_id}", response=RunWhole, url_name="get_run")
def get_run(request: Request, run_id: Id) -> Any:
    """A run with its configuration."""
    return run_for(request.auth, run_id)


@router.post("/runs/{run_id}/start", response={202: RunWhole})
def start_run(request: Request, run_id: Id) -> Any:
    """Start a pending run; on one already started it changes nothing."""
    run = run_for(request.auth, run_id, Role.RESEARCHER)
    runs.start_run(run=run, by=request.auth)
    return Status(202, _fresh(run))


@router.post("/runs/{run_id}/cancel", response={202: RunWhole})
def cancel_run(request: Request, run_id: Id) -> Any:
    """Cancel a run; on one that has ended it changes nothing. What was finished stays."""
    run = run_for(request.auth, run_id, Role.RESEARCHER)
    runs.cancel_run(run=run, by=request.auth)
    return Status(202, _fresh(run))


@router.post("/runs/{run_id}/retry", response={202: RunWhole})
def retry_run(request: Request, run_id: Id) -> Any:
    """Take a failed or cancelled run up where it stopped; any other answers 409."""
    run = run_for(request.auth, run_id, Role.RESEARCHER)
    runs.retry_run(run=run, by=request.auth)
    return Status(202, _fresh(run))


@router.get("/runs/{run_id}/stages", response=list[StageOut])
def list_stages(request: Request, run_id: Id) -> Any:
    """The run's stages in order; ten a round and one, at most 321."""
    related = ("sampling__policy", "reused_from__sampling__policy")
    stages = run_for(request.auth, run_id).stages.select_related(*related)
    return list(stages.order_by("position"))


@router.get("/runs/{run_id}/events", response=EventsOut)
def list_events(
    request: Request,
    run_id: Id,
    after: Annotated[int, Query(ge=0, le=MOST_ID, description="events numbered above this")] = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """What changed in the run since an event: poll with `after` to watch it."""
    run = run_for(request.auth, run_id)
    items = list(rows.events_after(run, after)[:limit])
    last = items[-1].seq if items else after
    return {"items": items, "next": last, "ended": run.status in ENDED and last >= run.seq}


@router.get("/runs/{run_id}/rollouts", response=Page[RolloutOut])
def list_rollouts(
    request: Request, run_id: Id, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """The run's rollouts with their scores, in the order sampled."""
    return page(rows.rollouts_of(run_for(request.auth, run_id)), after, limit)


@router.get("/runs/{run_id}/attempts", response=Page[AttemptOut])
def list_attempts(
    request: Request, run_id: Id, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """Every reply of the rewriter, with the acceptance checks that it passed or failed."""
    return page(rows.attempts_of(run_for(request.auth, run_id)), after, limit)


@router.get("/runs/{run_id}/pairs", response=Page[PairOut])
def list_pairs(
    request: Request, run_id: Id, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """The pairs that the run selected, with their texts; it trained on them all, or on the seeded
    share that its configuration names."""
    return page(rows.pairs_of(run_for(request.auth, run_id)), after, limit)


def _fresh(run: Run) -> Run:
    return Run.objects.select_related("project", "created_by").get(pk=run.pk)
