"""What a sender may reach: a project one is no member of is not found, a low role is refused."""

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404

from alignment.models import Project, ReviewItem, Role, Run, Stage
from alignment.permissions import admit


def project_for(user: User, slug: str, least: Role = Role.VIEWER) -> Project:
    """The project; raises Http404 for one that the user is no member of, Denied for a low role."""
    project = get_object_or_404(Project, slug=slug)
    admit(user, project, least)
    return project


def run_for(user: User, run_id: int, least: Role = Role.VIEWER) -> Run:
    """The run; raises as `project_for` does for its project."""
    run = get_object_or_404(Run.objects.select_related("project", "created_by"), pk=run_id)
    admit(user, run.project, least)
    return run


def stage_for(user: User, stage_id: int, least: Role = Role.VIEWER) -> Stage:
    """The stage; raises as `project_for` does for its project."""
    stage = get_object_or_404(Stage.objects.select_related("run__project"), pk=stage_id)
    admit(user, stage.run.project, least)
    return stage


def item_for(user: User, item_id: int, least: Role = Role.ANNOTATOR) -> ReviewItem:
    """The rewrite in its review; raises as `project_for` does for its project."""
    items = ReviewItem.objects.select_related("stage__run__project", "prompt__parent")
    item = get_object_or_404(items, pk=item_id)
    admit(user, item.stage.run.project, least)
    return item


def bare_project(slug: str) -> Project:
    """The project for a service that looks for itself who may; raises Http404 for none."""
    return get_object_or_404(Project, slug=slug)
