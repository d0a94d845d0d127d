"""Invitations: links that make who follows them a member. Only the link holds the token."""

import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from alignment.method.errors import MoraError
from alignment.models import Invitation, Membership, Project, Role
from alignment.permissions import Denied, at_least, may, require

LONGEST, MOST_USES = timedelta(days=90), 1000
INVALID = "this invitation is not valid: it was revoked, used up, has expired, or never was"
SPENT = "you joined by this invitation before; ask for a new one"


def invite(
    *, project: Project, role: Role, by: User, days: int = 7, most_uses: int = 1
) -> tuple[Invitation, str]:
    """An invitation and its token, which cannot be shown again.

    days: until it expires, 1 to 90; most_uses: people it may make members, 1 to 1,000. Raises
    Denied below researcher and for a role above the inviter's own; MoraError for the numbers.
    """
    require(by, project, Role.RESEARCHER)
    if not may(by, project, role):
        raise Denied(f"you cannot invite somebody as {role}: that is above your own role")
    if not 1 <= days <= LONGEST.days or not 1 <= most_uses <= MOST_USES:
        raise MoraError(
            f"an invitation lasts 1 to {LONGEST.days} days, for 1 to {MOST_USES} people"
        )
    token = secrets.token_urlsafe(32)
    made = Invitation.objects.create(
        project=project,
        role=role,
        sha256=Invitation.hash_of(token),
        created_by=by,
        expires_at=Now() + timedelta(days=days),
        most_uses=most_uses,
    )
    made.refresh_from_db()
    return made, token


def revoke_invitation(*, invitation: Invitation, by: User) -> None:
    """End an invitation; on one that has ended it does nothing. Who has joined stays."""
    require(by, invitation.project, Role.RESEARCHER)
    Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(revoked_at=Now())


def invitation_of(token: str) -> Invitation:
    """The invitation that a token opens; raises MoraError unless it may be accepted now."""
    found = (
        Invitation.objects.filter(
            sha256=Invitation.hash_of(token),
            revoked_at=None,
            expires_at__gt=Now(),
            uses__lt=F("most_uses"),
        )
        .select_related("project", "created_by")
        .first()
    )
    if found is None or not may(found.created_by, found.project, Role(found.role)):
        raise MoraError(INVALID)
    return found


def accept_invitation(*, token: str, user: User) -> Membership:
    """Make a signed-in user a member, or raise their role; it is never lowered.

    Accepting once more, or what one has already, uses nothing up. Raises MoraError where the
    invitation is not valid (any more), who made it no longer has the role that it gives, or the
    user joined by it before and is no longer what it made them.
    """
    with transaction.atomic():
        # One at a time, so that who accepts twice at once uses up one place.
        known = Invitation.objects.filter(sha256=Invitation.hash_of(token))
        known.select_for_update().first()
        if before := joined_by(token=token, user=user):
            return before
        invitation = invitation_of(token)
        member = Membership.objects.filter(project=invitation.project, user=user).first()
        if member and at_least(Role(member.role), Role(invitation.role)):
            return member
        if invitation.accepted_by.filter(pk=user.pk).exists():
            raise MoraError(SPENT)
        used = Invitation.objects.filter(
            pk=invitation.pk, revoked_at=None, uses__lt=F("most_uses")
        ).update(uses=F("uses") + 1)
        if not used:
            raise MoraError(INVALID)
        member, _ = Membership.objects.update_or_create(
            project=invitation.project, user=user, defaults={"role": invitation.role}
        )
        invitation.accepted_by.add(user)
    return member


def joined_by(*, token: str, user: User) -> Membership | None:
    """The membership that the user has by this invitation, valid still or not; None where it was
    taken from them or lowered since."""
    found = Invitation.objects.filter(sha256=Invitation.hash_of(token), accepted_by=user.pk)
    invitation = found.first()
    if invitation is None:
        return None
    member = Membership.objects.filter(project=invitation.project_id, user=user).first()
    stands = member is not None and at_least(Role(member.role), Role(invitation.role))
    return member if stands else None


def join_with_account(*, token: str, username: str, password: str) -> User:
    """Make an account and accept the invitation with it; both or neither.

    Raises MoraError for a name that is taken or unusable, a password that is too weak, or an
    invitation that is not valid.
    """
    invitation_of(token)
    user = User(username=username.strip())
    if User.objects.filter(username__iexact=user.username).exists():
        raise MoraError(f"the name {username!r} is taken; sign in, or choose another")
    try:
        user.clean_fields(exclude=("password",))
        validate_password(password, user)
    except ValidationError as error:
        raise MoraError(" ".join(error.messages)) from error
    try:
        with transaction.atomic():
            user.set_password(password)
            user.save()
            accept_invitation(token=token, user=user)
    except IntegrityError as error:
        raise MoraError(f"the name {username!r} is taken; sign in, or choose another") from error
    return user
