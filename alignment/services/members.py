"""Members: who has which role in a project. They come by invitation or from the admin."""

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from alignment.method.errors import MoraError
from alignment.models import Membership, ReviewItem, Role
from alignment.permissions import at_least, require


def change_role(*, member: Membership, role: Role, by: User) -> None:
    """Give a member another role; one that may not review frees what they hold for review.

    Raises MoraError for the last owner; Denied below owner.
    """
    require(by, member.project, Role.OWNER)
    with transaction.atomic():
        _keep_an_owner(member, role)
        Membership.objects.filter(pk=member.pk).update(role=role)
        if not at_least(role, Role.ANNOTATOR):
            _free(member)


def remove_member(*, member: Membership, by: User) -> None:
    """End a membership; what the person did stays, and what they hold for review is given back.

    One may always leave oneself; else the invitations that they joined by are revoked.

    Raises MoraError for the last owner; Denied below owner.
    """
    if member.user_id != by.pk:
        require(by, member.project, Role.OWNER)
    with transaction.atomic():
        _keep_an_owner(member, None)
        Membership.objects.filter(pk=member.pk).delete()
        if member.user_id != by.pk:
            joined_by = member.project.invitations.filter(accepted_by=member.user_id)
            joined_by.filter(revoked_at=None).update(revoked_at=Now())
        _free(member)


def _free(member: Membership) -> None:
    """Give back the rewrites that the person holds in the project."""
    held = ReviewItem.objects.filter(
        held_by__project=member.project_id, held_by__user=member.user_id
    )
    held.update(held_by=None, lease_expires_at=Now())


def _keep_an_owner(member: Membership, role: Role | None) -> None:
    """Locks the project's owners; raises MoraError where nobody would be left of them."""
    held = Membership.objects.select_for_update().filter(project=member.project_id, role=Role.OWNER)
    owners = set(held.values_list("pk", flat=True))
    if role != Role.OWNER and owners == {member.pk}:
        raise MoraError(f"{member.user} is the only owner; make somebody else one first")
