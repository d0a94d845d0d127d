"""Who sees which page: a project one is no member of is not found; a role too low is forbidden."""

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django_htmx.middleware import HtmxDetails

from alignment.models import Project, ReviewItem, Role, Run
from alignment.permissions import admit


class Request(HttpRequest):
    """A request of a signed-in user, which the middleware has seen to."""

    user: User
    htmx: HtmxDetails


def project_for(request: Request, slug: str, least: Role = Role.VIEWER) -> Project:
    project = get_object_or_404(Project, slug=slug)
    admit(request.user, project, least)
    return project


def run_for(request: Request, slug: str, run_id: int, least: Role = Role.VIEWER) -> Run:
    project = project_for(request, slug, least)
    return get_object_or_404(project.runs.select_related("project", "created_by"), pk=run_id)


def item_for(request: Request, slug: str, item_id: int, least: Role) -> ReviewItem:
    project = project_for(request, slug, least)
    items = ReviewItem.objects.select_related("stage__run__project", "prompt__parent")
    return get_object_or_404(items, stage__run__project=project, pk=item_id)
