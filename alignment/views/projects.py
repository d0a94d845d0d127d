"""A person's projects, and what a project holds: prompt sets, dimensions, policies."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from alignment.method.errors import MoraError
from alignment.models import Project, Role
from alignment.permissions import may
from alignment.queries import projects, runs
from alignment.services.imports import Imported, problems_of
from alignment.services.uploads import MOST_MB, send_prompts
from alignment.views.access import Request, project_for


@require_safe
def project_list(request: Request) -> HttpResponse:
    return render(request, "projects.html", {"projects": projects.projects_of(request.user)})


@require_safe
def project_page(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    context = {
        "project": project,
        "counts": projects.counts(project),
        "runs": runs.runs_of(project)[:8],
        "dimensions": projects.dimensions(project),
    }
    return render(request, "project.html", context)


@require_safe
def prompt_sets(request: Request, slug: str) -> HttpResponse:
    return _prompt_sets(request, project_for(request, slug))


@require_http_methods(["GET", "HEAD", "POST"])
def import_prompts(request: Request, slug: str) -> HttpResponse:
    """Prompts from a file that a researcher sends, into a set; looked at again, the sets."""
    project = project_for(request, slug, Role.RESEARCHER)
    if request.method != "POST":
        return redirect("prompts", slug)
    given = {name: request.POST.get(name, "").strip() for name in ("set_name", "column")}
    skip_bad = bool(request.POST.get("skip_bad"))
    try:
        if (file := request.FILES.get("file")) is None:
            raise MoraError("choose a file of prompts")
        done = send_prompts(project=project, file=file, by=request.user, skip_bad=skip_bad, **given)
    except MoraError as error:
        return _prompt_sets(request, project, error=error)
    return _prompt_sets(request, project, done)


def _prompt_sets(
    request: Request,
    project: Project,
    done: Imported | None = None,
    error: MoraError | None = None,
) -> HttpResponse:
    context = {
        "project": project,
        "sets": projects.prompt_sets(project),
        "done": done,
        "error": error,
        "problems": problems_of(done, error),
        "most_mb": MOST_MB,
        "may_add": may(request.user, project, Role.RESEARCHER),
    }
    return render(request, "prompts.html", context, status=422 if error else 200)


@require_safe
def dimensions(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    context = {
        "project": project,
        "dimensions": projects.dimensions(project),
        "rewriters": project.rewriters.all(),
    }
    return render(request, "dimensions.html", context)


@require_safe
def policies(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    context = {"project": project, "policies": projects.policies(project)}
    return render(request, "policies.html", context)


@require_safe
def workers(request: Request) -> HttpResponse:
    return render(request, "workers.html", {"workers": projects.workers()})
