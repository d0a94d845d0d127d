"""Guidelines with versions, and invitations by link."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from alignment.method.errors import MoraError
from alignment.models import Invitation, Membership, Project, Review, Role, Stage
from alignment.permissions import Denied
from alignment.services.guidelines import publish_guideline
from alignment.services.invitations import (
    accept_invitation,
    invitation_of,
    invite,
    join_with_account,
    revoke_invitation,
)
from alignment.services.members import change_role, remove_member
from alignment.services.queue import next_item
from alignment.services.reviews import decide_rewrite
from tests.review.conftest import APPROVE

PASSWORD = "correct horse battery"


@pytest.fixture
def owner(people: dict[str, User]) -> User:
    return people["owner"]


def role_of(project: Project, user: User) -> str | None:
    found = Membership.objects.filter(project=project, user=user)
    return found.values_list("role", flat=True).first()


def test_a_guideline_gets_a_version_and_reviews_keep_the_one_in_force(
    project: Project, stage: Stage, owner: User, bob: User
) -> None:
    items = list(stage.review_items.select_related("stage__run__project").order_by("pk"))
    decide_rewrite(item=items[0], by=bob, answer=APPROVE)
    first = publish_guideline(project=project, text="Be fair.\r\n", by=owner, after=0)
    assert (first.version, first.text) == (1, "Be fair.")
    decide_rewrite(item=items[1], by=bob, answer=APPROVE)
    publish_guideline(project=project, text="Be fair and quick.", by=owner, after=1)
    decide_rewrite(item=items[2], by=bob, answer=APPROVE)
    versions = Review.objects.order_by("pk").values_list("guideline__version", flat=True)
    assert list(versions) == [None, 1, 2]
    assert project.guidelines.count() == 2


@pytest.mark.parametrize(("shown", "kept"), [(None, 2), (0, None), (1, 1), (2, 2), (10**12, 2)])
def test_a_review_keeps_the_guideline_that_was_shown(
    project: Project, stage: Stage, owner: User, bob: User, shown: int | None, kept: int | None
) -> None:
    publish_guideline(project=project, text="Be fair.", by=owner, after=0)
    publish_guideline(project=project, text="Be fair and quick.", by=owner, after=1)
    item = next_item(project=project, by=bob)
    assert item is not None
    made = decide_rewrite(item=item, by=bob, answer=APPROVE, guideline=shown)
    assert (made.guideline.version if made.guideline else None) == kept


@pytest.mark.parametrize(
    ("text", "after", "told"),
    [
        (" \n", 1, "1 to 50,000 characters; this has 0"),
        ("x" * 50_001, 1, "this has 50,001"),
        ("a\x00", 1, "NUL"),
        ("Be fair.", 1, "nothing was changed"),
        ("Be quick.", 0, "published another version meanwhile"),
    ],
)
def test_a_guideline_that_cannot_be_is_refused(
    project: Project, owner: User, text: str, after: int, told: str
) -> None:
    publish_guideline(project=project, text="Be fair.", by=owner, after=0)
    with pytest.raises(MoraError, match=told):
        publish_guideline(project=project, text=text, by=owner, after=after)
    assert project.guidelines.count() == 1


def test_a_guideline_is_the_researchers(project: Project, judge: User) -> None:
    with pytest.raises(Denied):
        publish_guideline(project=project, text="Be fair.", by=judge, after=0)


def test_who_follows_an_invitation_becomes_a_member_once(
    project: Project, owner: User, people: dict[str, User]
) -> None:
    made, token = invite(project=project, role=Role.ADJUDICATOR, by=owner)
    assert token not in str(vars(made))
    guest = people["outsider"]
    assert accept_invitation(token=token, user=guest).role == "adjudicator"
    made.refresh_from_db()
    assert made.uses == 1
    with pytest.raises(MoraError, match="not valid"):
        accept_invitation(token=token, user=people["viewer"])


def test_an_own_invitation_leads_back_though_it_is_used_up(
    project: Project, owner: User, people: dict[str, User]
) -> None:
    made, token = invite(project=project, role=Role.ANNOTATOR, by=owner)
    client = Client()
    client.force_login(people["outsider"])
    address = reverse("join", args=[token])
    project_page = reverse("project", args=[project.slug])
    assert client.post(address)["Location"] == project_page
    assert client.get(address)["Location"] == project_page, "a second click is no mistake"
    assert accept_invitation(token=token, user=people["outsider"]).role == "annotator"
    made.refresh_from_db()
    assert made.uses == 1
    client.force_login(people["viewer"])
    assert client.get(address).status_code == 404


def test_an_invitation_makes_an_account(project: Project, owner: User) -> None:
    _, token = invite(project=project, role=Role.ANNOTATOR, by=owner, most_uses=2)
    dee = join_with_account(token=token, username=" dee ", password=PASSWORD)
    assert (dee.username, role_of(project, dee)) == ("dee", "annotator")
    assert dee.check_password(PASSWORD)
    with pytest.raises(MoraError, match="'dee' is taken"):
        join_with_account(token=token, username="dee", password=PASSWORD)
    with pytest.raises(MoraError, match="too short"):
        join_with_account(token=token, username="eve", password="short")
    with pytest.raises(MoraError, match="valid username"):
        join_with_account(token=token, username="e v e", password=PASSWORD)
    assert Invitation.objects.get().uses == 1
    assert not User.objects.filter(username="eve").exists()


def test_who_was_removed_does_not_come_back_by_the_same_invitation(
    project: Project, stage: Stage, owner: User, people: dict[str, User]
) -> None:
    _, token = invite(project=project, role=Role.ANNOTATOR, by=owner, most_uses=5)
    other, other_token = invite(project=project, role=Role.ANNOTATOR, by=owner)
    guest = people["outsider"]
    member = accept_invitation(token=token, user=guest)
    held = next_item(project=project, by=guest)
    assert held is not None
    remove_member(member=member, by=owner)
    held.refresh_from_db()
    assert held.held_by is None
    with pytest.raises(MoraError, match="it was revoked"):
        accept_invitation(token=token, user=guest)
    with pytest.raises(MoraError, match="it was revoked"):
        join_with_account(token=token, username="guest-again", password=PASSWORD)
    assert role_of(project, guest) is None
    assert invitation_of(other_token) == other
    assert accept_invitation(token=other_token, user=guest).role == "annotator"


@pytest.mark.parametrize(("role", "keeps"), [(Role.VIEWER, False), (Role.ADJUDICATOR, True)])
def test_who_may_no_longer_review_gives_back_what_they_hold(
    project: Project, stage: Stage, owner: User, bob: User, role: Role, keeps: bool
) -> None:
    held = next_item(project=project, by=bob)
    assert held is not None
    member = Membership.objects.get(project=project, user=bob)
    change_role(member=member, role=role, by=owner)
    held.refresh_from_db()
    assert (held.held_by is not None) == keeps


def test_an_invitation_raises_a_role_once(
    project: Project, owner: User, people: dict[str, User]
) -> None:
    made, token = invite(project=project, role=Role.ADJUDICATOR, by=owner, most_uses=5)
    guest = people["outsider"]
    member = accept_invitation(token=token, user=guest)
    change_role(member=member, role=Role.VIEWER, by=owner)
    with pytest.raises(MoraError, match="joined by this invitation before; ask for a new one"):
        accept_invitation(token=token, user=guest)
    assert role_of(project, guest) == "viewer"
    made.refresh_from_db()
    assert made.uses == 1
    assert accept_invitation(token=token, user=people["viewer"]).role == "adjudicator"


def test_an_invitation_never_lowers_a_role_and_uses_nothing_up_then(
    project: Project, owner: User, judge: User
) -> None:
    made, token = invite(project=project, role=Role.VIEWER, by=owner)
    assert accept_invitation(token=token, user=judge).role == "adjudicator"
    made.refresh_from_db()
    assert made.uses == 0


def test_an_invitation_gives_at_most_the_inviters_own_role_even_later(
    project: Project, owner: User, people: dict[str, User]
) -> None:
    researcher, guest = people["researcher"], people["outsider"]
    with pytest.raises(Denied, match="above your own role"):
        invite(project=project, role=Role.OWNER, by=researcher)
    with pytest.raises(Denied):
        invite(project=project, role=Role.VIEWER, by=people["adjudicator"])
    _, token = invite(project=project, role=Role.RESEARCHER, by=researcher)
    Membership.objects.filter(user=researcher).update(role=Role.ANNOTATOR)
    with pytest.raises(MoraError, match="not valid"):
        accept_invitation(token=token, user=guest)
    assert role_of(project, guest) is None


def test_an_invitation_ends_by_revoking_and_by_time(
    project: Project, owner: User, people: dict[str, User]
) -> None:
    made, token = invite(project=project, role=Role.VIEWER, by=owner, days=1)
    assert invitation_of(token) == made
    Invitation.objects.filter(pk=made.pk).update(expires_at=Now() - timedelta(seconds=1))
    with pytest.raises(MoraError, match="not valid"):
        invitation_of(token)
    made, token = invite(project=project, role=Role.VIEWER, by=owner)
    revoke_invitation(invitation=made, by=owner)
    with pytest.raises(MoraError, match="not valid"):
        accept_invitation(token=token, user=people["outsider"])
    for days, uses in ((0, 1), (91, 1), (1, 0), (1, 1001)):
        with pytest.raises(MoraError, match="lasts 1 to 90 days"):
            invite(project=project, role=Role.VIEWER, by=owner, days=days, most_uses=uses)


@pytest.mark.parametrize("token", ["", "x", "é\x00"])
def test_a_token_that_never_was_opens_nothing(project: Project, token: str) -> None:
    with pytest.raises(MoraError, match="never was"):
        invitation_of(token)
