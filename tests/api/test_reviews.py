"""The review desk over REST: who may what, and one rewrite from the queue to its end."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from alignment.models import Invitation, Membership, Review, ReviewItem, Run, Stage
from tests.api.conftest import ClientOf, assert_problem, get, post
from tests.builders import open_review

NEXT = "/projects/sandbox/review/next"
ROLES = ["nobody", "outsider", "viewer", "annotator", "adjudicator", "researcher", "owner"]
LEASE = {"lease": str(uuid4())}
REJECT = {"decision": "reject", "reason": "adds_harm"}
# Method, address, body, the status for who may, and the least role.
ADDRESSES: list[tuple[str, str, Any, int, str]] = [
    ("post", NEXT, {}, 200, "annotator"),
    ("get", "/review-items/{item}", None, 200, "annotator"),
    ("get", "/review-items/{item}/reviews", None, 200, "annotator"),
    ("post", "/review-items/{item}/take", {}, 200, "annotator"),
    ("post", "/review-items/{item}/renew", LEASE, 409, "annotator"),
    ("post", "/review-items/{item}/release", LEASE, 200, "annotator"),
    ("post", "/review-items/{item}/review", {"decision": "approve"}, 200, "annotator"),
    ("post", "/review-items/{item}/draft", {"text": "Mend"}, 200, "annotator"),
    ("post", "/review-items/{item}/undo", {}, 409, "annotator"),
    ("post", "/review-items/{item}/adjudicate", REJECT, 200, "adjudicator"),
    ("get", "/projects/sandbox/review/progress", None, 200, "viewer"),
    ("get", "/projects/sandbox/review/leases", None, 200, "adjudicator"),
    ("get", "/projects/sandbox/review/agreement", None, 200, "adjudicator"),
    ("get", "/projects/sandbox/review/agreement-elsewhere", None, 200, "adjudicator"),
    ("get", "/stages/{stage}/disputes", None, 200, "adjudicator"),
    ("post", "/stages/{stage}/close", {}, 409, "researcher"),
    ("get", "/stages/{stage}/rerun", None, 409, "viewer"),
    ("post", "/stages/{stage}/rerun", {}, 409, "researcher"),
    ("post", "/stages/{stage}/assign", {"items": [1]}, 200, "adjudicator"),
    (
        "post",
        "/projects/sandbox/review/bulk",
        {"stage": 0, "decision": "approve"},
        200,
        "adjudicator",
    ),
    ("get", "/projects/sandbox/review/export.jsonl", None, 200, "researcher"),
    ("get", "/projects/sandbox/review/export.parquet", None, 200, "researcher"),
    ("get", "/projects/sandbox/guidelines", None, 200, "viewer"),
    ("post", "/projects/sandbox/guidelines", {"text": "Be fair.", "after": 0}, 201, "researcher"),
    ("get", "/projects/sandbox/invitations", None, 200, "researcher"),
    ("post", "/projects/sandbox/invitations", {"role": "viewer"}, 201, "researcher"),
]


@pytest.fixture
def stage(run: Run) -> Stage:
    return open_review(run, 3)


@pytest.fixture
def item(stage: Stage) -> ReviewItem:
    return stage.review_items.order_by("pk")[0]


@pytest.mark.parametrize("who", ROLES)
@pytest.mark.parametrize(("method", "address", "body", "allowed", "least"), ADDRESSES)
def test_each_address_needs_its_role(
    who: str,
    method: str,
    address: str,
    body: Any,
    allowed: int,
    least: str,
    client_of: ClientOf,
    stage: Stage,
    item: ReviewItem,
) -> None:
    client = client_of(who)
    url = address.format(item=item.pk, stage=stage.pk)
    body = {**body, "stage": stage.pk} if body and "stage" in body else body
    response = post(client, url, body) if method == "post" else get(client, url)
    expected = allowed if ROLES.index(who) >= ROLES.index(least) else 403
    expected = {"nobody": 401, "outsider": 404}.get(who, expected)
    assert response.status_code == expected, response.content
    if expected >= 400:
        assert_problem(response, expected)


def test_a_rewrite_goes_from_the_queue_to_its_end(client_of: ClientOf, stage: Stage) -> None:
    bob, judge = client_of("annotator"), client_of("adjudicator")
    found = post(bob, NEXT, {}).json()["item"]
    assert found["original"] in found["rewrite"]
    assert (found["left"], found["left_for_me"], found["draft"]) == (3, 3, None)
    address = f"/review-items/{found['id']}"
    assert post(bob, f"{address}/renew", {"lease": found["lease"]}).status_code == 200
    post(bob, f"{address}/draft", {"text": "Mend", "ratings": {"natural": 2}})
    draft = post(bob, NEXT, {}).json()["item"]["draft"]
    assert (draft["text"], draft["ratings"], draft["decision"]) == ("Mend", {"natural": 2}, "")
    body = {"decision": "edit", "text": "Mend it how?", "lease": found["lease"]}
    first = post(bob, f"{address}/review", body).json()
    assert post(bob, f"{address}/review", body).json() == first
    assert (first["decision"], first["edited_text"], first["reviewer"]) == (
        "edit",
        "Mend it how?",
        "a-annotator",
    )
    back = post(bob, f"{address}/undo", {}).json()
    assert (back["state"], back["draft"]["text"]) == ("pending", "Mend it how?")
    flag = {"decision": "flag", "words": "lawful?", "lease": back["lease"]}
    assert post(bob, f"{address}/review", flag).status_code == 200
    disputes = get(judge, f"/stages/{stage.pk}/disputes").json()["items"]
    assert [r["words"] for d in disputes for r in d["reviews"]] == ["lawful?"]
    assert post(judge, f"{address}/adjudicate", REJECT).status_code == 200
    (progress,) = get(judge, "/projects/sandbox/review/progress").json()
    assert (progress["done"], progress["pending"], progress["disputed"]) == (1, 2, 0)
    assert {p["reviewer"]: p["flag"] for p in progress["people"]} == {
        "a-annotator": 1,
        "a-adjudicator": 0,
    }


def test_what_others_have_said_so_far_is_for_adjudicators_and_above(
    client_of: ClientOf, item: ReviewItem
) -> None:
    body = {"decision": "reject", "reason": "adds_harm"}
    assert post(client_of("annotator"), f"/review-items/{item.pk}/review", body).status_code == 200
    seen = {}
    for role in ROLES[2:]:
        (progress,) = get(client_of(role), "/projects/sandbox/review/progress").json()
        assert (progress["total"], progress["done"], progress["pending"]) == (3, 1, 2)
        seen[role] = [p["reviewer"] for p in progress["people"]]
    everybody = ["a-annotator"]
    assert seen.pop("viewer") == []
    assert seen == dict.fromkeys(seen, everybody)
    post(client_of("researcher"), f"/review-items/{item.pk + 1}/review", body)
    (progress,) = get(client_of("annotator"), "/projects/sandbox/review/progress").json()
    assert [p["reviewer"] for p in progress["people"]] == ["a-annotator"]


def test_where_nothing_is_left_the_answer_says_why(client_of: ClientOf, run: Run) -> None:
    found = post(client_of("annotator"), NEXT, {}).json()
    assert found == {"item": None, "reason": "No run of this project waits for a review."}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"decision": "reject"}, "needs a reason"),
        ({"decision": "edit", "text": " "}, "is empty"),
        ({"decision": "burn"}, "cannot be used"),
        ({"decision": "reject"}, "one of intent lost, not natural"),
        *(
            ({"decision": "approve", "ratings": {"natural": rating}}, "cannot be used")
            for rating in (9, True, "4", 4.5)
        ),
        ({"decision": "approve", "lease": "x"}, "cannot be used"),
        ({"decision": "edit", "text": "x" * 20_001}, "cannot be used"),
    ],
)
def test_an_answer_that_cannot_be_used_is_told(
    client_of: ClientOf, item: ReviewItem, body: Any, told: str
) -> None:
    response = post(client_of("annotator"), f"/review-items/{item.pk}/review", body)
    assert told in assert_problem(response, 422)["detail"]
    assert not Review.objects.exists()


def send_file(client: Client, stage: Stage, name: str, text: str, **said: Any) -> Any:
    file = SimpleUploadedFile(name, text.encode())
    return client.post(f"/api/v1/stages/{stage.pk}/reviews/import", {"file": file, **said})


@pytest.mark.parametrize("who", ROLES)
def test_a_file_of_decisions_is_taken_from_researchers_and_above(
    who: str, client_of: ClientOf, stage: Stage, item: ReviewItem
) -> None:
    text = f"rewrite_key,reviewer,decision\n{item.prompt.key},dee,approve\n"
    sent = send_file(client_of(who), stage, "made.csv", text)
    if who in ("researcher", "owner"):
        assert sent.json() == {"imported": 1, "bad": 0, "problems": [], "notes": []}
        assert str(Review.objects.get().reviewer) == "dee (imported)"
    else:
        assert_problem(sent, {"nobody": 401, "outsider": 404}.get(who, 403))
        assert not Review.objects.exists()


def test_bad_rows_of_a_file_are_told_by_line_and_keep_all_out(
    researcher: Client, stage: Stage, item: ReviewItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"rewrite_key": item.prompt.key, "reviewer": "dee", "decision": d} for d in ("x", "")]
    rows.append({**rows[0], "decision": "approve"})
    text = "\n".join(map(json.dumps, rows))
    errors = assert_problem(send_file(researcher, stage, "made.jsonl", text), 422)["errors"]
    assert [error["path"] for error in errors] == ["line 1", "line 2"]
    assert "the decision is 'x'" in errors[0]["message"]
    assert not Review.objects.exists()
    done = send_file(researcher, stage, "made.jsonl", text, skip_bad="true").json()
    assert (done["imported"], done["bad"], len(done["problems"])) == (1, 2, 2)
    assert_problem(send_file(researcher, stage, "made.txt", text), 422)
    assert_problem(researcher.post(f"/api/v1/stages/{stage.pk}/reviews/import", {}), 422)
    monkeypatch.setattr("alignment.services.uploads.MOST_MB", 0)
    told = assert_problem(send_file(researcher, stage, "made.jsonl", text), 413)["detail"]
    assert told == "the file is over 0 MB; import it in parts"


def test_a_bulk_decision_is_previewed_applied_and_undone(
    client_of: ClientOf, stage: Stage, item: ReviewItem
) -> None:
    judge = client_of("adjudicator")
    body = {"stage": stage.pk, "contains": "part 0", "decision": "approve"}
    preview = post(judge, "/projects/sandbox/review/bulk", body).json()
    assert (preview["count"], preview["sample"]) == (1, [item.prompt.text])
    assert preview["applied_at"] is None
    address = f"/bulk-decisions/{preview['token']}"
    assert post(judge, f"{address}/apply").json()["applied"] == 1
    assert_problem(post(client_of("outsider"), f"{address}/undo"), 404)
    assert_problem(post(client_of("annotator"), f"{address}/undo"), 403)
    assert post(judge, f"{address}/undo").json()["undone_at"]
    item.refresh_from_db()
    assert item.state == "pending"


def test_an_invitation_is_made_followed_and_revoked(
    client_of: ClientOf, stage: Stage, people: dict[str, User]
) -> None:
    owner = client_of("owner")
    made = post(owner, "/projects/sandbox/invitations", {"role": "annotator", "most_uses": 2})
    token = made.json()["token"]
    guest = client_of("outsider")
    joined = post(guest, "/invitations/accept", {"token": token}).json()
    assert joined == {"project": "sandbox", "role": "annotator"}
    assert post(guest, NEXT, {}).status_code == 200
    listed = get(owner, "/projects/sandbox/invitations").json()["items"]
    assert [(i["uses"], "token" in i) for i in listed] == [(1, False)]
    address = f"/projects/sandbox/invitations/{listed[0]['id']}/revoke"
    assert post(owner, address).json()["revoked_at"]
    Membership.objects.filter(user=people["outsider"]).delete()
    assert_problem(post(guest, "/invitations/accept", {"token": token}), 409)
    assert_problem(
        post(client_of("researcher"), "/projects/sandbox/invitations", {"role": "owner"}), 403
    )
    assert Invitation.objects.count() == 1


def test_the_reviews_of_others_stay_hidden(client_of: ClientOf, run: Run) -> None:
    stage = open_review(run, 1, overlap=2)
    url = f"/review-items/{stage.review_items.get().pk}/review"
    assert post(client_of("annotator"), url, {"decision": "approve"}).status_code == 200
    for who in ("adjudicator", "owner"):
        assert get(client_of(who), f"{url}s").json() == []
    events = get(client_of("owner"), f"/runs/{run.pk}/events").json()["items"]
    assert events[-1]["data"] == {"stage": stage.pk}


def test_a_session_without_its_csrf_token_changes_nothing(
    people: dict[str, User], stage: Stage
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["annotator"])
    assert_problem(post(client, NEXT, {}), 403)


def test_rewrites_are_assigned_to_a_member_and_to_nobody_else(
    client_of: ClientOf, stage: Stage, people: dict[str, User]
) -> None:
    judge, url = client_of("adjudicator"), f"/stages/{stage.pk}/assign"
    last = stage.review_items.order_by("-pk")[0]
    body = {"items": [last.pk], "reviewer": "a-annotator"}
    assert post(judge, url, body).json() == {"assigned": 1}
    assert post(client_of("annotator"), NEXT, {}).json()["item"]["id"] == last.pk
    assert_problem(post(judge, url, {**body, "reviewer": "an-outsider"}), 404)
    assert post(judge, url, {"items": [last.pk]}).json() == {"assigned": 1}
    last.refresh_from_db()
    assert last.assigned_to is None


def test_a_rerun_is_planned_and_made(client_of: ClientOf, stage: Stage) -> None:
    Stage.objects.filter(pk=stage.pk).update(status="succeeded")
    owner, url = client_of("owner"), f"/stages/{stage.pk}/rerun"
    plan = get(owner, url).json()
    assert [row["kind"] for row in plan if not row["again"]][-1] == "rewrite"
    made = post(owner, url, {"name": "again"})
    assert (made.status_code, made.json()["name"], made.json()["status"]) == (
        201,
        "again",
        "waiting",
    )
    assert_problem(post(owner, url, {"name": "again"}), 409)
