"""What a sender may reach: a project one is no member of is not found, a low role is refused."""

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404

from alignment.models import Project, Role, Run
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
