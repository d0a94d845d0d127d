"""The guideline's versions; members, their roles, and invitations by link."""

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment.models import Guideline, Invitation, Membership, Project

SLUG = "sandbox"
TEXT = "# Keep\n- the intent\n- **nothing** <b>harmful</b>\n\nUse `edit`."


def publish(client: Client, text: str, after: int) -> int:
    said = {"text": text, "after": after}
    return client.post(reverse("guideline", args=[SLUG]), said).status_code


def test_a_guideline_is_published_in_versions_and_compared(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    client = sign_in("researcher")
    assert publish(client, TEXT, 0) == 302
    assert publish(client, TEXT.replace("intent", "wish"), 1) == 302
    page = sign_in("viewer").get(reverse("guideline", args=[SLUG])).content.decode()
    assert "<li>the wish</li>" in page and "<b>nothing</b>" in page and "<code>edit</code>" in page
    assert "&lt;b&gt;harmful&lt;/b&gt;" in page, "it is text, no markup of the page"
    address = reverse("guideline", args=[SLUG])
    compared = client.get(address, {"v": 2, "from": 1}).content.decode()
    assert "<del>intent</del>" in compared and "<ins>wish</ins>" in compared
    assert client.get(address, {"v": 3}).status_code == 404


def test_who_comes_second_with_a_version_keeps_their_text(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    client = sign_in("researcher")
    publish(client, "first", 0)
    page = client.post(reverse("guideline", args=[SLUG]), {"text": "mine", "after": 0})
    assert page.status_code == 422
    assert "somebody published another version meanwhile" in page.content.decode()
    assert ">mine</textarea>" in page.content.decode()


def test_an_annotator_writes_no_guideline(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    assert publish(sign_in("annotator"), "mine", 0) == 403
    assert not Guideline.objects.exists()


def link_of(client: Client, **said: object) -> str:
    given = {"role": "annotator", "days": 7, "uses": 1, **said}
    page = client.post(reverse("invite", args=[SLUG]), given).content.decode()
    found = re.search(r'value="http://testserver(/invitations/[^"]+)"', page)
    assert found, "the link is shown"
    return found[1]


def test_an_invitation_makes_a_member_of_who_signs_up_with_it(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    link = link_of(sign_in("researcher"))
    client = Client()
    assert "invites you as annotator" in client.get(link).content.decode()
    weak = client.post(link, {"username": "eve", "password": "short"})
    assert weak.status_code == 422 and 'value="eve"' in weak.content.decode()
    joined = client.post(link, {"username": "eve", "password": "correct horse battery"})
    assert joined["Location"] == reverse("project", args=[SLUG])
    assert client.get(joined["Location"]).status_code == 200
    assert Membership.objects.get(user__username="eve").role == "annotator"
    assert Client().get(link).status_code == 404, "it is used up"


def test_who_is_signed_in_joins_with_a_click(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    link = link_of(sign_in("owner"), role="adjudicator")
    client = sign_in("outsider")
    assert "You are signed in as an-outsider" in client.get(link).content.decode()
    client.post(link)
    assert Membership.objects.get(user__username="an-outsider").role == "adjudicator"


def test_a_revoked_link_and_one_that_never_was_do_not_work(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    client = sign_in("researcher")
    link = link_of(client)
    invitation = Invitation.objects.get()
    client.post(reverse("revoke-invitation", args=[SLUG, invitation.pk]))
    for address in (link, reverse("join", args=["nothing"])):
        page = Client().get(address)
        assert page.status_code == 404
        assert "This link does not work" in page.content.decode()


def test_nobody_invites_above_their_own_role(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    said = {"role": "owner", "days": 7, "uses": 1}
    page = sign_in("researcher").post(reverse("invite", args=[SLUG]), said)
    assert page.status_code == 422
    assert not Invitation.objects.exists()


def test_an_invitation_of_a_number_that_is_none_is_refused(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    for days, uses in (("9" * 5000, "1"), ("7", "9" * 5000), ("seven", "1")):
        said = {"role": "viewer", "days": days, "uses": uses}
        page = sign_in("owner").post(reverse("invite", args=[SLUG]), said)
        assert page.status_code == 422
        assert "an invitation needs a role, its days" in page.content.decode()
    assert not Invitation.objects.exists()


def test_an_owner_changes_roles_and_removes_members(
    sign_in: Callable[[str], Client], project: Project, people: dict[str, User]
) -> None:
    client = sign_in("owner")
    member = Membership.objects.get(user=people["viewer"])
    client.post(reverse("change-role", args=[SLUG, member.pk]), {"role": "annotator"})
    member.refresh_from_db()
    assert member.role == "annotator"
    client.post(reverse("remove-member", args=[SLUG, member.pk]))
    assert not Membership.objects.filter(pk=member.pk).exists()


@pytest.mark.parametrize(
    ("name", "said"), [("change-role", {"role": "viewer"}), ("remove-member", {})]
)
def test_the_only_owner_stays_one(
    name: str,
    said: dict[str, str],
    sign_in: Callable[[str], Client],
    project: Project,
    people: dict[str, User],
) -> None:
    member = Membership.objects.get(user=people["owner"])
    page = sign_in("owner").post(reverse(name, args=[SLUG, member.pk]), said, follow=True)
    assert "is the only owner" in page.content.decode()
    member.refresh_from_db()
    assert member.role == "owner"


def test_a_member_may_leave(
    sign_in: Callable[[str], Client], project: Project, people: dict[str, User]
) -> None:
    member = Membership.objects.get(user=people["annotator"])
    answer = sign_in("annotator").post(reverse("remove-member", args=[SLUG, member.pk]))
    assert answer["Location"] == reverse("projects")
    assert not Membership.objects.filter(pk=member.pk).exists()
