"""Every address times every role: who gets a page, who is refused, who finds nothing."""

from collections.abc import Callable, Iterable
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from alignment.models import Invitation, Project, ReviewItem, Role, Run
from mora_web import urls

# The least role that each page of a project needs; the rest of the roles are refused.
LEAST = {
    "project": Role.VIEWER,
    "runs": Role.VIEWER,
    "run": Role.VIEWER,
    "run-log": Role.VIEWER,
    "training-csv": Role.VIEWER,
    "attempts": Role.VIEWER,
    "compare": Role.VIEWER,
    "compare-csv": Role.VIEWER,
    "ceiling": Role.VIEWER,
    "ceiling-csv": Role.VIEWER,
    "results": Role.VIEWER,
    "results-csv": Role.VIEWER,
    "policies": Role.VIEWER,
    "prompts": Role.VIEWER,
    "dimensions": Role.VIEWER,
    "judge": Role.VIEWER,
    "review": Role.ANNOTATOR,
    "decide": Role.ANNOTATOR,
    "review-draft": Role.ANNOTATOR,
    "review-hold": Role.ANNOTATOR,
    "review-release": Role.ANNOTATOR,
    "undo-review": Role.ANNOTATOR,
    "my-reviews": Role.ANNOTATOR,
    "adjudicate": Role.ADJUDICATOR,
    "undo-adjudication": Role.ADJUDICATOR,
    "desk": Role.ADJUDICATOR,
    "throughput-csv": Role.ADJUDICATOR,
    "disputes": Role.ADJUDICATOR,
    "agreement": Role.ADJUDICATOR,
    "rewrites": Role.ADJUDICATOR,
    "assign": Role.ADJUDICATOR,
    "bulk-preview": Role.ADJUDICATOR,
    "bulk-apply": Role.ADJUDICATOR,
    "bulk-undo": Role.ADJUDICATOR,
    "import-reviews": Role.RESEARCHER,
    "close-review": Role.RESEARCHER,
    "rerun": Role.RESEARCHER,
    "guideline": Role.VIEWER,
    "members": Role.VIEWER,
    "remove-member": Role.OWNER,
    "change-role": Role.OWNER,
    "invite": Role.RESEARCHER,
    "revoke-invitation": Role.RESEARCHER,
    "new-run": Role.RESEARCHER,
    "start-run": Role.RESEARCHER,
    "cancel-run": Role.RESEARCHER,
    "retry-run": Role.RESEARCHER,
    "try-judge": Role.RESEARCHER,
    "new-policy": Role.RESEARCHER,
    "import-prompts": Role.RESEARCHER,
    "new-judge": Role.RESEARCHER,
    "edit-judge": Role.RESEARCHER,
    "new-rewriter": Role.RESEARCHER,
    "edit-rewriter": Role.RESEARCHER,
    "freeze-volume": Role.RESEARCHER,
}
OF_A_REVIEW = ("decide", "review-draft", "review-hold", "review-release", "undo-review")
OF_AN_ITEM = (*OF_A_REVIEW, "adjudicate", "undo-adjudication")
OF_A_BULK = ("bulk-apply", "bulk-undo")
OF_A_MEMBER = ("remove-member", "change-role")
POSTED = (
    *OF_A_REVIEW,
    *OF_A_BULK,
    *OF_A_MEMBER,
    "undo-adjudication",
    "assign",
    "bulk-preview",
    "import-reviews",
    "close-review",
    "invite",
    "revoke-invitation",
    "try-judge",
    "import-prompts",
    "freeze-volume",
    "start-run",
    "cancel-run",
    "retry-run",
)
OF_A_RUN = ("run", "run-log", "training-csv", "attempts", "start-run", "cancel-run", "retry-run")


def names(patterns: Iterable[URLPattern | URLResolver]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            found |= names(pattern.url_patterns)
        else:
            found.add(str(pattern.name))
    return found


def test_every_page_of_a_project_is_in_the_matrix() -> None:
    assert names(urls.project_pages) == set(LEAST)


def named(name: str, project: Project, run: Run) -> list[object]:
    """What the address of a page names beside its project."""
    if name in OF_A_RUN:
        return [run.pk]
    if name == "freeze-volume":
        return [run.stages.get(kind="mine").pk]
    if name in OF_AN_ITEM:
        return [ReviewItem.objects.filter(stage__run=run)[0].pk]
    if name in ("judge", "try-judge", "edit-judge"):
        return [project.judges.all()[0].pk]
    if name == "edit-rewriter":
        return [project.rewriters.get_or_create(name="w", defaults={"settings": {}})[0].pk]
    someone, _ = User.objects.get_or_create(username="someone")
    if name in OF_A_MEMBER:
        return [project.memberships.get_or_create(user=someone, defaults={"role": "viewer"})[0].pk]
    if name in OF_A_BULK:
        stage = run.stages.get(kind="review")
        made = stage.bulk_decisions.create(by=someone, filter={}, token=uuid4(), items=[])
        return [made.token]
    if name == "revoke-invitation":
        return [_invitation(project, someone).pk]
    return []


def _invitation(project: Project, by: User) -> Invitation:
    return Invitation.objects.create(
        project=project,
        role=Role.VIEWER,
        sha256=uuid4().hex,
        created_by=by,
        expires_at=timezone.now(),
    )


def visit(client: Client, name: str, project: Project, run: Run) -> int:
    address = reverse(name, args=[project.slug, *named(name, project, run)])
    response = client.post(address) if name in POSTED else client.get(address)
    return response.status_code


@pytest.mark.parametrize("name", LEAST)
def test_a_page_is_for_its_role_and_those_above(
    name: str, sign_in: Callable[[str], Client], project: Project, waiting: Run
) -> None:
    order = list(Role)
    for role in order:
        status = visit(sign_in(role), name, project, waiting)
        if order.index(role) < order.index(LEAST[name]):
            assert status == 403, (name, role)
        else:
            assert status in (200, 204, 302, 409, 422), (name, role)


@pytest.mark.parametrize("name", LEAST)
def test_who_is_no_member_finds_nothing(
    name: str, sign_in: Callable[[str], Client], project: Project, waiting: Run
) -> None:
    assert visit(sign_in("outsider"), name, project, waiting) == 404


@pytest.mark.parametrize("name", LEAST)
def test_who_is_not_signed_in_is_sent_to_the_sign_in(
    name: str, project: Project, waiting: Run
) -> None:
    assert visit(Client(), name, project, waiting) == 302


@pytest.mark.parametrize("address", ["/", "/workers/"])
def test_pages_of_the_console_need_a_sign_in_and_no_role(
    address: str, sign_in: Callable[[str], Client]
) -> None:
    assert sign_in("outsider").get(address).status_code == 200
    response = Client().get(address)
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("sign-in"))


def test_a_run_is_not_found_under_another_project(
    sign_in: Callable[[str], Client], run: Run, people: dict[str, User]
) -> None:
    other = Project.objects.create(name="Other", slug="other")
    other.memberships.create(user=people["owner"], role=Role.OWNER)
    client = sign_in("owner")
    assert client.get(reverse("run", args=["other", run.pk])).status_code == 404
    assert client.post(reverse("cancel-run", args=["other", run.pk])).status_code == 404


def test_a_person_who_was_made_inactive_is_signed_out(
    sign_in: Callable[[str], Client], people: dict[str, User], project: Project
) -> None:
    client = sign_in("owner")
    people["owner"].is_active = False
    people["owner"].save()
    assert client.get(reverse("project", args=[project.slug])).status_code == 302


def test_a_write_needs_its_csrf_token(people: dict[str, User], run: Run) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])
    response = client.post(reverse("cancel-run", args=[run.project.slug, run.pk]))
    assert response.status_code == 403
    run.refresh_from_db()
    assert run.status == "pending"


def test_a_page_that_writes_is_not_written_by_a_get(researcher: Client, run: Run) -> None:
    for name in ("start-run", "cancel-run", "retry-run"):
        response = researcher.get(reverse(name, args=[run.project.slug, run.pk]))
        assert response.status_code == 405, name
