"""A person's projects, and what a project holds: prompt sets, dimensions, policies."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from alignment.queries import projects, runs
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
    project = project_for(request, slug)
    context = {"project": project, "sets": projects.prompt_sets(project)}
    return render(request, "prompts.html", context)


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
