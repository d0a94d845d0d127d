"""The lead's pages of the review desk: what they show, to whom, and what they change."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from alignment.models import BulkDecision, Review, ReviewItem, Run, Stage
from alignment.services.answers import Answer
from alignment.services.queue import next_item
from alignment.services.reviews import decide_rewrite
from tests.builders import make_run, open_review
from tests.web.conftest import put, stage_of

SLUG = "sandbox"


@pytest.fixture
def lead(sign_in: Callable[[str], Client]) -> Client:
    return sign_in("adjudicator")


@pytest.fixture
def items(waiting: Run) -> list[ReviewItem]:
    """Three rewrites that need two reviews each."""
    ReviewItem.objects.update(needed=2)
    return list(stage_of(waiting, "review").review_items.order_by("pk"))


def say(item: ReviewItem, who: User, decision: str, **said: str) -> None:
    decide_rewrite(item=item, by=who, answer=Answer(decision=decision, **said))


@pytest.fixture
def disputed(items: list[ReviewItem], people: dict[str, User]) -> ReviewItem:
    say(items[0], people["annotator"], "approve")
    say(items[0], people["owner"], "reject", reason="adds_harm", words="asks for a lockpick")
    return items[0]


def shown(client: Client, name: str, *args: object, **query: object) -> str:
    response = client.get(reverse(name, args=[SLUG, *args]), query)
    assert response.status_code == 200
    return response.content.decode()


def test_an_annotator_sees_nothing_of_what_others_said_before_submitting(
    sign_in: Callable[[str], Client], items: list[ReviewItem], people: dict[str, User]
) -> None:
    say(items[0], people["owner"], "reject", reason="other", words="a telling word")
    client = sign_in("annotator")
    page = client.get(reverse("review", args=[SLUG]))
    assert page.context["page"].item == items[0], "begun rewrites come first"
    assert "a telling word" not in page.content.decode()
    assert "a-owner" not in page.content.decode()


def test_reviews_stay_blind_to_the_lead_until_all_are_in(
    lead: Client, items: list[ReviewItem], people: dict[str, User]
) -> None:
    say(items[0], people["owner"], "reject", reason="other", words="a telling word")
    assert "a telling word" not in shown(lead, "adjudicate", items[0].pk)
    say(items[0], people["annotator"], "approve")
    assert "a telling word" in shown(lead, "adjudicate", items[0].pk)


def test_a_viewer_cannot_decide_and_an_outsider_finds_nothing(
    sign_in: Callable[[str], Client], items: list[ReviewItem]
) -> None:
    address = reverse("decide", args=[SLUG, items[0].pk])
    assert sign_in("viewer").post(address, {"decision": "approve"}).status_code == 403
    assert sign_in("outsider").post(address, {"decision": "approve"}).status_code == 404
    assert not Review.objects.exists()


def test_the_desk_says_how_it_stands_and_who_holds_what(
    lead: Client, disputed: ReviewItem, people: dict[str, User], items: list[ReviewItem]
) -> None:
    project = disputed.stage.run.project
    assert next_item(project=project, by=people["annotator"]) == items[1]
    page = shown(lead, "desk")
    assert "<b>0 / 3</b>" in page
    assert "a-annotator" in page and "a-owner" in page
    assert "Held just now" in page and items[1].prompt.text in page
    assert "2 reviews in the last 24 hours" in page
    csv = lead.get(reverse("throughput-csv", args=[SLUG])).content.decode().splitlines()
    assert csv[0] == "hour,reviews" and csv[1].endswith(",2")


def test_a_dispute_is_listed_with_who_said_what_and_settled(
    lead: Client, disputed: ReviewItem
) -> None:
    listed = shown(lead, "disputes")
    assert "a-annotator: approve" in listed and "a-owner: reject, adds harm" in listed
    address = reverse("adjudicate", args=[SLUG, disputed.pk])
    lead.post(address, {"decision": "reject", "reason": "adds_harm", "words": "lockpicks"})
    disputed.refresh_from_db()
    assert disputed.state == "rejected"
    assert Review.objects.get(adjudicates=True).words == "lockpicks"
    lead.post(reverse("undo-adjudication", args=[SLUG, disputed.pk]))
    disputed.refresh_from_db()
    assert disputed.state == "disputed"


def test_a_settlement_without_a_reason_keeps_what_was_written(
    lead: Client, disputed: ReviewItem
) -> None:
    address = reverse("adjudicate", args=[SLUG, disputed.pk])
    page = lead.post(address, {"decision": "reject", "words": "so it is"})
    assert page.status_code == 422
    assert "a rejection needs a reason" in page.content.decode()
    assert 'value="so it is"' in page.content.decode()


def test_agreement_is_shown_and_says_where_it_is_undefined(
    lead: Client, disputed: ReviewItem
) -> None:
    page = shown(lead, "agreement")
    assert "Krippendorff" in page
    assert "0 %" in page
    assert page.count("No rewrite was rated by two people; ratings are optional.") == 3
    assert "Set “people who review" not in page
    assert "nor does the word that settles a dispute" in page
    of_stage = shown(lead, "agreement", stage=disputed.stage_id)
    assert "round 1</span><span>Only rewrites" in of_stage.replace("\n", "")


def test_a_kappa_that_says_nothing_says_why(
    lead: Client, items: list[ReviewItem], people: dict[str, User]
) -> None:
    for item, second in zip(items, ("approve", "reject", "approve"), strict=True):
        say(item, people["annotator"], "approve")
        say(item, people["owner"], second, **({"reason": "other"} if second == "reject" else {}))
    page = shown(lead, "agreement")
    assert "0.000<small>One of the two always gave the same answer, so kappa is 0" in page


def test_a_bulk_decision_is_previewed_applied_and_taken_back(
    lead: Client, items: list[ReviewItem]
) -> None:
    found = shown(lead, "rewrites", contains="1 chairs")
    assert "1 match, 1 undecided" in found
    said = {"stage": items[0].stage_id, "contains": "", "decision": "approve", "words": "trusted"}
    preview = lead.post(reverse("bulk-preview", args=[SLUG]), said).content.decode()
    assert "This approves 3 rewrites" in preview
    assert not Review.objects.exists(), "nothing is decided yet"
    bulk = BulkDecision.objects.get()
    lead.post(reverse("bulk-apply", args=[SLUG, bulk.token]))
    assert set(ReviewItem.objects.values_list("state", flat=True)) == {"approved"}
    assert "Take it back" in shown(lead, "rewrites")
    lead.post(reverse("bulk-undo", args=[SLUG, bulk.token]))
    assert set(ReviewItem.objects.values_list("state", flat=True)) == {"pending"}


def test_rewrites_that_match_are_assigned_to_who_may_review(
    lead: Client, items: list[ReviewItem], people: dict[str, User]
) -> None:
    assert "<option>a-viewer</option>" not in shown(lead, "rewrites")
    said = {"stage": items[0].stage_id, "contains": "1 chairs", "to": "a-annotator"}
    lead.post(reverse("assign", args=[SLUG]), said)
    assert "1 pending rewrites are now assigned to a-annotator" in shown(lead, "rewrites")
    found = next_item(project=items[0].stage.run.project, by=people["annotator"])
    assert found is not None and "1 chairs" in found.prompt.text
    refused = lead.post(reverse("assign", args=[SLUG]), {**said, "to": "a-viewer"})
    assert refused.status_code == 422
    assert "a-viewer may not review" in refused.content.decode()
    assert lead.post(reverse("assign", args=[SLUG]), {**said, "to": "a\0"}).status_code == 422
    lead.post(reverse("assign", args=[SLUG]), {**said, "to": ""})
    assert not ReviewItem.objects.exclude(assigned_to=None).exists()


def test_a_bulk_decision_that_cannot_be_keeps_what_was_asked(
    lead: Client, items: list[ReviewItem]
) -> None:
    said = {"stage": items[0].stage_id, "decision": "reject", "words": "for a reason"}
    page = lead.post(reverse("bulk-preview", args=[SLUG]), said)
    assert page.status_code == 422
    assert "a rejection needs a reason" in page.content.decode()
    assert 'value="for a reason"' in page.content.decode()


@pytest.fixture
def other(waiting: Run, people: dict[str, User]) -> Stage:
    """A newer open review of the project, of two rewrites, in which nothing is in dispute."""
    made = make_run(waiting.project, people["owner"], name="other", review={"mode": "required"})
    return open_review(made, 2)


def test_the_desk_shows_first_where_disputes_are(
    lead: Client, disputed: ReviewItem, other: Stage, people: dict[str, User]
) -> None:
    held = next_item(project=other.run.project, by=people["annotator"], stage=other)
    assert held is not None
    assert lead.get(reverse("desk", args=[SLUG])).context["stage"] == disputed.stage
    assert held.prompt.text not in shown(lead, "desk"), "it is another review's"
    assert held.prompt.text in shown(lead, "desk", stage=other.pk)
    listed = lead.get(reverse("disputes", args=[SLUG]))
    assert (listed.context["stage"], listed.context["stages"]) == (disputed.stage, [disputed.stage])
    chosen = lead.get(reverse("disputes", args=[SLUG]), {"stage": other.pk})
    assert chosen.context["stages"] == [other, disputed.stage]
    assert "other</a>, round 1" in chosen.content.decode()


def test_the_last_dispute_leads_to_the_next_review_that_has_some(
    lead: Client, disputed: ReviewItem, other: Stage, people: dict[str, User]
) -> None:
    there = other.review_items.select_related("stage__run__project").latest("pk")
    say(there, people["annotator"], "flag", words="is this lawful?")
    for item, follows in ((disputed, other), (there, other)):
        address = reverse("adjudicate", args=[SLUG, item.pk])
        settled = lead.post(address, {"decision": "approve"})
        assert settled["Location"] == f"{reverse('disputes', args=[SLUG])}?stage={follows.pk}"


def test_after_a_bulk_decision_the_list_has_its_filter_still(
    lead: Client, items: list[ReviewItem]
) -> None:
    said = {"stage": items[0].stage_id, "contains": "1 chairs & more", "decision": "approve"}
    wanted = f"{reverse('rewrites', args=[SLUG])}?stage={items[0].stage_id}&contains=1+chairs"
    preview = lead.post(reverse("bulk-preview", args=[SLUG]), {**said, "contains": "1 chairs"})
    assert f'href="{wanted}"'.replace("&", "&amp;") in preview.content.decode()
    bulk = BulkDecision.objects.get()
    for name in ("bulk-apply", "bulk-undo"):
        assert lead.post(reverse(name, args=[SLUG, bulk.token]))["Location"] == wanted
    assigned = lead.post(reverse("assign", args=[SLUG]), said)
    assert assigned["Location"] == f"{wanted}+%26+more"


def send_file(client: Client, stage: Stage, name: str, text: str, **said: str) -> str:
    address = reverse("import-reviews", args=[SLUG])
    file = SimpleUploadedFile(name, text.encode())
    page = client.post(address, {"stage": stage.pk, "file": file, **said})
    assert (page.status_code == 422) == ('role="alert"' in page.content.decode())
    return page.content.decode()


def test_decisions_made_elsewhere_are_imported_from_a_file(
    researcher: Client, items: list[ReviewItem], lead: Client
) -> None:
    stage = items[0].stage
    assert 'type="file"' in shown(researcher, "desk")
    assert 'type="file"' not in shown(lead, "desk")
    rows = ["rewrite_key,reviewer,decision,reason"]
    rows += [f"{items[0].prompt.key},dee,reject,Not natural", f"{items[1].prompt.key},dee,burn,"]
    text = "\n".join(rows)
    refused = send_file(researcher, stage, "made.csv", text)
    assert "Nothing was imported, since 1 row is bad" in refused
    assert "line 3: the decision is &#x27;burn&#x27;" in refused
    assert not Review.objects.exists()
    done = send_file(researcher, stage, "made.csv", text, skip_bad="on")
    assert "1 review imported. 1 bad row was left out." in done
    assert "line 3: the decision" in done
    review = Review.objects.get()
    assert (review.reason, review.source) == ("not_natural", "made.csv")


def test_a_file_that_cannot_be_imported_says_why(
    researcher: Client, items: list[ReviewItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = items[0].stage
    assert "made.txt: unknown format" in send_file(researcher, stage, "made.txt", "x")
    assert "/tmp" not in send_file(researcher, stage, "made.csv", "x,y\n1,2\n")
    nothing = researcher.post(reverse("import-reviews", args=[SLUG]), {"stage": stage.pk})
    assert "choose a file of decisions" in nothing.content.decode()
    monkeypatch.setattr("alignment.services.uploads.MOST_MB", 0)
    assert "the file is over 0 MB" in send_file(researcher, stage, "made.csv", "x,y\n")
    put(stage, status="succeeded")
    monkeypatch.undo()
    assert "this review is closed" in send_file(researcher, stage, "made.csv", "x,y\n")


def test_another_projects_stage_is_not_found(lead: Client, items: list[ReviewItem]) -> None:
    for asked in ("999999", "x", "9" * 30):
        assert lead.get(reverse("desk", args=[SLUG]), {"stage": asked}).status_code == 404


def test_a_closed_review_offers_a_rerun_and_says_what_it_does(
    sign_in: Callable[[str], Client], waiting: Run
) -> None:
    stage = put(stage_of(waiting, "review"), status="succeeded")
    client = sign_in("researcher")
    assert "Rerun from review" in shown(client, "desk")
    plan = shown(client, "rerun", stage=stage.pk)
    assert "begins with the decisions made" in plan
    assert "comes after review" in plan
