"""Projects and what they hold: prompt sets, policies, evaluations, the Pareto front."""

from typing import Annotated, Any

from ninja import File, Form, Query, Router, Status, UploadedFile

from alignment.api.access import project_for
from alignment.api.auth import Request
from alignment.api.imported import ImportedOut, imported_out
from alignment.api.pages import After, Limit, Page, Slug, page
from alignment.api.schemas import (
    EvaluationOut,
    Name,
    ParetoOut,
    PolicyIn,
    PolicyOut,
    ProjectOut,
    PromptSetOut,
    evaluation_out,
    point_out,
)
from alignment.models import Role
from alignment.queries import projects
from alignment.queries.points import pareto
from alignment.queries.results import finished_evaluations, policy_table
from alignment.services import policies
from alignment.services.uploads import send_prompts

router = Router(tags=["projects"])


@router.get("/projects", response=Page[ProjectOut])
def list_projects(request: Request, after: After = None, limit: Limit = 50) -> dict[str, Any]:
    """The projects that you are a member of."""
    return page(projects.projects_of(request.auth), after, limit)


@router.get("/projects/{slug}", response=ProjectOut)
def get_project(request: Request, slug: Slug) -> Any:
    """A project by its short name."""
    return project_for(request.auth, slug)


@router.get("/projects/{slug}/prompt-sets", response=Page[PromptSetOut])
def list_prompt_sets(
    request: Request, slug: Slug, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """The project's prompt sets with their numbers of prompts."""
    return page(projects.prompt_sets(project_for(request.auth, slug)), after, limit)


@router.post("/projects/{slug}/prompts/import", response=ImportedOut)
def import_prompts(
    request: Request,
    slug: Slug,
    file: File[UploadedFile],
    set_name: Form[Name],
    column: Form[str] = "",
    skip_bad: Form[bool] = False,
) -> ImportedOut:
    """Add a file's prompts to a set, which is made where absent. The file is CSV, JSON, JSONL or
    Parquet by its name, up to 50 MB; `column` names the prompts' column, which is guessed without.
    A bad row keeps all out, unless `skip_bad`."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    done = send_prompts(
        project=project,
        set_name=set_name,
        file=file,
        by=request.auth,
        column=column,
        skip_bad=skip_bad,
    )
    return imported_out(done)


@router.get("/projects/{slug}/policies", response=Page[PolicyOut])
def list_policies(
    request: Request, slug: Slug, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """The project's policies, newest first: start policies, trained ones, imported names."""
    found = project_for(request.auth, slug).policies.all()
    return page(found, after, limit, newest_first=True)


@router.post("/projects/{slug}/policies", response={201: PolicyOut})
def add_policy(request: Request, slug: Slug, body: PolicyIn) -> Any:
    """Add a start policy: a model's folder, or a model at an endpoint of the operator's list."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    made = policies.add_policy(project=project, by=request.auth, **body.model_dump())
    return Status(201, made)


@router.get("/projects/{slug}/evaluations", response=Page[EvaluationOut])
def list_evaluations(
    request: Request,
    slug: Slug,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=20, description="each is computed")] = 10,
) -> dict[str, Any]:
    """The project's finished evaluations with their figures, newest first."""
    found = finished_evaluations(project_for(request.auth, slug))
    part = page(found, after, limit, newest_first=True)
    return {**part, "items": [evaluation_out(row) for row in policy_table(part["items"])]}


@router.get("/projects/{slug}/pareto", response=ParetoOut)
def get_pareto(request: Request, slug: Slug) -> dict[str, Any]:
    """The policies of the latest 200 evaluations as points with front and contributions."""
    return {"points": [point_out(point) for point in pareto(project_for(request.auth, slug))]}
