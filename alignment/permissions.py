"""Who may do what: a member's role in a project, from viewer to owner. Deny by default."""

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404

from alignment.method.errors import MoraError
from alignment.models import Membership, Project, Role

ORDER = list(Role)


class Denied(MoraError, PermissionDenied):
    """The person may not do this."""


class Outsider(Denied):
    """The person is no member, so for them the thing is not there."""


def role_in(user: User | AnonymousUser, project: Project) -> Role | None:
    """The user's role in the project, if any; a superuser is an owner everywhere."""
    if not user.is_authenticated or not getattr(user, "is_active", False):
        return None
    if getattr(user, "is_superuser", False):
        return Role.OWNER
    role = Membership.objects.filter(project=project, user_id=user.pk).values_list(
        "role", flat=True
    )
    return Role(role[0]) if role else None


def may(user: User | AnonymousUser, project: Project, least: Role) -> bool:
    role = role_in(user, project)
    return role is not None and at_least(role, least)


def at_least(role: Role, least: Role) -> bool:
    return ORDER.index(role) >= ORDER.index(least)


def require(user: User | AnonymousUser, project: Project, least: Role) -> None:
    """Raises Denied unless the user has this role in the project or more; Outsider for none."""
    role = role_in(user, project)
    if role is None:
        raise Outsider(_needs(least, project))
    if not at_least(role, least):
        raise Denied(_needs(least, project))


def who_may(project: Project, least: Role) -> QuerySet[User]:
    """The members with this role or more, by name."""
    roles = [role for role in Role if at_least(role, least)]
    found = User.objects.filter(memberships__project=project, memberships__role__in=roles)
    return found.order_by("username")


def admit(user: User | AnonymousUser, project: Project, least: Role) -> None:
    """Raises Http404 for who is no member of the project, Denied for a role too low."""
    role = role_in(user, project)
    if role is None:
        raise Http404("no such page, or no member of its project")
    if not at_least(role, least):
        raise Denied(_needs(least, project))


def _needs(least: Role, project: Project) -> str:
    return f"this needs the role {least} in project {project}; ask one of its owners"
