"""Who is a member of a project, in which role; invitations by link, and accepting one."""

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alignment.method.errors import MoraError
from alignment.models import Membership, Project, Role
from alignment.permissions import ORDER, may, require, role_in
from alignment.services import invitations
from alignment.services import members as verbs
from alignment.views.access import Request, project_for


@require_safe
def members(request: Request, slug: str) -> HttpResponse:
    return _page(request, project_for(request, slug))


def _page(request: Request, project: Project, error: str = "", link: str = "") -> HttpResponse:
    role = role_in(request.user, project)
    context = {
        "project": project,
        "members": project.memberships.select_related("user").order_by("user__username"),
        "roles": Role.choices,
        "may_own": may(request.user, project, Role.OWNER),
        "may_invite": may(request.user, project, Role.RESEARCHER),
        "inviting": ORDER[: ORDER.index(role) + 1] if role else [],
        "invitations": project.invitations.select_related("created_by").annotate(now=Now())[:50],
        "error": error,
        "link": link,
    }
    return render(request, "members.html", context, status=422 if error else 200)


@require_POST
def change_role(request: Request, slug: str, member_id: int) -> HttpResponse:
    member = _member(request, slug, member_id, Role.OWNER)
    role = request.POST.get("role", "")
    try:
        if role not in Role.values:
            raise MoraError(f"no role {role[:20]!r}")
        verbs.change_role(member=member, role=Role(role), by=request.user)
        messages.success(request, f"{member.user} is now {role}.")
    except MoraError as error:
        messages.error(request, str(error))
    return redirect("members", slug)


@require_POST
def remove_member(request: Request, slug: str, member_id: int) -> HttpResponse:
    member = _member(request, slug, member_id, Role.VIEWER)
    if member.user_id != request.user.pk:
        require(request.user, member.project, Role.OWNER)
    try:
        verbs.remove_member(member=member, by=request.user)
        messages.success(request, f"{member.user} is no member of {member.project} any more.")
    except MoraError as error:
        messages.error(request, str(error))
    left = member.user_id == request.user.pk
    return redirect("projects") if left else redirect("members", slug)


def _member(request: Request, slug: str, member_id: int, least: Role) -> Membership:
    project = project_for(request, slug, least)
    return get_object_or_404(project.memberships.select_related("user", "project"), pk=member_id)


@require_POST
def invite(request: Request, slug: str) -> HttpResponse:
    """Make an invitation; its link is shown this once."""
    project = project_for(request, slug, Role.RESEARCHER)
    role, days, uses = (request.POST.get(name, "") for name in ("role", "days", "uses"))
    try:
        numbers = all(number.isdecimal() and len(number) < 10 for number in (days, uses))
        if role not in Role.values or not numbers:
            raise MoraError("an invitation needs a role, its days, and how many may use it")
        _, token = invitations.invite(
            project=project, role=Role(role), by=request.user, days=int(days), most_uses=int(uses)
        )
    except MoraError as error:
        return _page(request, project, str(error))
    return _page(request, project, link=request.build_absolute_uri(reverse("join", args=[token])))


@require_POST
def revoke(request: Request, slug: str, invitation_id: int) -> HttpResponse:
    project = project_for(request, slug, Role.RESEARCHER)
    invitation = get_object_or_404(project.invitations, pk=invitation_id)
    invitations.revoke_invitation(invitation=invitation, by=request.user)
    messages.success(request, "The invitation is revoked; who has joined by it stays.")
    return redirect("members", slug)


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: Request, token: str) -> HttpResponse:
    """Accept an invitation: signed in with a click, else with a new account."""
    context: dict[str, object] = {"token": token}
    status = 200
    try:
        context["invitation"] = invitations.invitation_of(token)
    except MoraError as error:
        user = request.user
        before = user.is_authenticated and invitations.joined_by(token=token, user=user)
        if before:
            return redirect("project", before.project.slug)
        return render(request, "join.html", {"error": str(error)}, status=404)
    if request.method == "POST":
        try:
            return redirect("project", _accept(request, token).slug)
        except MoraError as error:
            context |= {"error": str(error), "name": request.POST.get("username", "")}
            status = 422
    return render(request, "join.html", context, status=status)


def _accept(request: Request, token: str) -> Project:
    """The project that the person is now a member of. Raises MoraError."""
    project = invitations.invitation_of(token).project
    if request.user.is_authenticated:
        invitations.accept_invitation(token=token, user=request.user)
        return project
    user: User = invitations.join_with_account(
        token=token,
        username=request.POST.get("username", ""),
        password=request.POST.get("password", ""),
    )
    login(request, user)
    return project
