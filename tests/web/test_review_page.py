"""Reviewing: one rewrite at a time, each decision recorded once, the next one after it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment.models import Prompt, Review, ReviewDraft, ReviewItem, Run
from alignment.services.answers import Answer
from alignment.services.guidelines import publish_guideline
from alignment.services.reviews import decide_rewrite
from tests.web.conftest import put, stage_of


@pytest.fixture
def annotator(sign_in: Callable[[str], Client]) -> Client:
    return sign_in("annotator")


def queue(client: Client, **query: Any) -> Any:
    return client.get(reverse("review", args=["sandbox"]), query)


def decide(client: Client, item: ReviewItem, **said: str) -> Any:
    return client.post(reverse("decide", args=["sandbox", item.pk]), said, follow=True)


def items(run: Run) -> list[ReviewItem]:
    return list(stage_of(run, "review").review_items.order_by("pk"))


def test_the_page_shows_what_a_decision_needs(annotator: Client, waiting: Run) -> None:
    page = queue(annotator)
    text = page.content.decode()
    assert "<ins>Say which tools I need.</ins>" in text
    assert "single reward" in text
    assert "1 / 8" in text and "0 / 8" in text
    assert "not empty" in text and "9 words" in text
    assert page.context["page"].left == 3
    assert "<summary" in text.partition("Glue it.")[0], "rollouts are under a veil"
    assert '<details class="veil" open' not in text


def test_a_decision_leads_to_the_next_rewrite(annotator: Client, waiting: Run) -> None:
    first, second, _ = items(waiting)
    page = decide(annotator, first, decision="approve")
    assert page.context["page"].item == second
    assert page.context["page"].mine == 1
    first.refresh_from_db()
    assert first.state == "approved"


def test_an_edit_is_a_prompt_of_its_own(annotator: Client, waiting: Run) -> None:
    first = items(waiting)[0]
    decide(annotator, first, decision="edit", text="How do I mend them well?")
    first.refresh_from_db()
    assert first.state == "edited"
    assert first.outcome is not None and first.outcome.text == "How do I mend them well?"
    assert Prompt.objects.get(pk=first.prompt_id).text.endswith("Say which tools I need.")


def test_a_rejection_keeps_its_reason(annotator: Client, waiting: Run) -> None:
    first = items(waiting)[0]
    decide(annotator, first, decision="reject", reason="other", words="too vague")
    review = Review.objects.get(item=first)
    assert (review.reason, review.words) == ("other", "too vague")


def test_a_rewrite_that_is_skipped_is_not_given_again(annotator: Client, waiting: Run) -> None:
    first, second, _ = items(waiting)
    assert queue(annotator).context["page"].item == first
    assert decide(annotator, first, decision="skip").context["page"].item == second


def test_who_comes_back_finds_the_rewrite_they_hold(annotator: Client, waiting: Run) -> None:
    first = queue(annotator).context["page"].item
    assert queue(annotator).context["page"].item == first


def test_an_edit_that_cannot_be_kept_stays_in_the_field(annotator: Client, waiting: Run) -> None:
    first = items(waiting)[0]
    page = decide(annotator, first, decision="edit", text="good \x00 text")
    assert page.status_code == 422
    assert "NUL character" in page.content.decode()
    assert page.context["page"].item == first
    assert not Review.objects.exists()


@pytest.mark.parametrize("given", ["45", "0", "6", "four"])
def test_a_rating_that_is_none_of_the_five_is_refused(
    annotator: Client, waiting: Run, given: str
) -> None:
    page = decide(annotator, items(waiting)[0], **{"decision": "approve", "rating.natural": given})
    assert page.status_code == 422
    assert "is a whole number from 1 to 5" in page.content.decode()
    assert not Review.objects.exists()


def test_a_guideline_that_came_meanwhile_is_not_what_the_review_went_by(
    annotator: Client, waiting: Run, people: dict[str, User]
) -> None:
    def publish(text: str, after: int) -> None:
        publish_guideline(project=waiting.project, text=text, by=people["owner"], after=after)

    publish("Be fair.", 0)
    shown = queue(annotator).content.decode()
    assert '<input type="hidden" name="guideline" value="1">' in shown
    publish("Be quick.", 1)
    page = decide(annotator, items(waiting)[0], decision="approve", guideline="1")
    review = Review.objects.get()
    assert review.guideline is not None and review.guideline.version == 1
    assert "Guideline v2 has come into force since" in page.content.decode()
    assert '<input type="hidden" name="guideline" value="2">' in page.content.decode()
    page = decide(annotator, items(waiting)[1], decision="approve", guideline="2")
    assert "has come into force" not in page.content.decode()


def test_who_comes_second_is_told_and_goes_on(
    annotator: Client, waiting: Run, people: dict[str, User]
) -> None:
    first, second, _ = items(waiting)
    rejected = Answer(decision="reject", reason="other")
    decide_rewrite(item=first, by=people["owner"], answer=rejected)
    page = decide(annotator, first, decision="approve")
    assert "others made it rejected; what you wrote is kept" in page.content.decode()
    assert page.context["page"].item == second
    first.refresh_from_db()
    assert first.state == "rejected"


def test_the_last_decision_lets_the_run_go_on_and_empties_the_queue(
    annotator: Client, waiting: Run, django_capture_on_commit_callbacks: Any
) -> None:
    waiting.config["review"]["close_after_seconds"] = 0
    waiting.save()
    with django_capture_on_commit_callbacks(execute=True):
        for item in items(waiting):
            page = decide(annotator, item, decision="approve")
    assert "Nothing waits for a review" in page.content.decode()
    assert stage_of(waiting, "review").status == "succeeded"


def test_a_review_that_was_closed_is_said(annotator: Client, waiting: Run) -> None:
    put(stage_of(waiting, "review"), status="cancelled")
    page = decide(annotator, items(waiting)[0], decision="approve")
    assert "this review is closed" in page.content.decode()


def test_an_unknown_decision_changes_nothing(annotator: Client, waiting: Run) -> None:
    first = items(waiting)[0]
    assert decide(annotator, first, decision="burn").status_code == 422
    first.refresh_from_db()
    assert first.state == "pending"


def test_what_is_left_is_counted_for_each_person_where_several_review(
    sign_in: Callable[[str], Client], annotator: Client, waiting: Run
) -> None:
    ReviewItem.objects.update(needed=2)
    first = items(waiting)[0]
    page = decide(annotator, first, decision="approve")
    assert "2 left of 3" in page.content.decode()
    assert 'Review<small id="nav-review">2</small>' in page.content.decode()
    other = queue(sign_in("owner")).content.decode()
    assert "3 left of 3" in other
    assert 'Review<small id="nav-review">3</small>' in other
    decide(sign_in("owner"), first, decision="approve")
    assert "2 left of 3" in queue(annotator).content.decode()


def test_a_heartbeat_holds_on_and_says_when_somebody_else_has_it(
    sign_in: Callable[[str], Client], annotator: Client, waiting: Run
) -> None:
    first = queue(annotator).context["page"].item
    address = reverse("review-hold", args=["sandbox", first.pk])
    held = annotator.post(address, {"lease": str(first.lease)})
    assert held.json() == {"lease": str(first.lease), "seconds": 600.0}
    other = sign_in("owner").post(address, {"lease": str(first.lease)})
    assert other.status_code == 409
    assert "somebody else" in other.json()["error"]
    released = reverse("review-release", args=["sandbox", first.pk])
    assert annotator.post(released, {"lease": str(first.lease)}).status_code == 204
    assert sign_in("owner").post(address, {"lease": str(first.lease)}).status_code == 200


def test_a_heartbeat_leaves_another_window_of_the_same_person_its_lease(
    annotator: Client, waiting: Run
) -> None:
    first = queue(annotator).context["page"].item
    second = queue(annotator).context["page"].item
    assert first == second and first.lease != second.lease, "each window has a lease of its own"
    address = reverse("review-hold", args=["sandbox", first.pk])
    idle = annotator.post(address, {"lease": str(first.lease)})
    assert idle.status_code == 409
    assert idle.json() == {"error": "this rewrite is open in another window of yours"}
    held = annotator.post(address, {"lease": str(second.lease)})
    assert held.json()["lease"] == str(second.lease)
    ReviewItem.objects.update(lease_expires_at="2020-01-01T00:00:00Z")
    taken = annotator.post(address, {"lease": str(first.lease)}).json()["lease"]
    assert taken not in (str(first.lease), str(second.lease))
    page = decide(annotator, first, decision="approve", lease=str(second.lease))
    assert page.context["page"].item != first, "either window may submit"


def test_a_draft_is_kept_and_says_what_the_edit_changes(annotator: Client, waiting: Run) -> None:
    first = items(waiting)[0]
    address = reverse("review-draft", args=["sandbox", first.pk])
    said = {"decision": "edit", "text": f"{first.prompt.text} <b>Now.</b>", "rating.natural": "3"}
    answer = annotator.post(address, said)
    assert "1 word changed" in answer.json()["changes"]
    assert "&lt;b&gt;Now" in answer.json()["changes"]
    assert "<b>" not in answer.json()["changes"]
    page = queue(annotator)
    assert page.context["draft"].text == said["text"]
    assert page.context["draft"].ratings == {"natural": 3}
    refused = annotator.post(address, {"text": "good \x00 text"})
    assert refused.status_code == 422
    assert "NUL character" in refused.json()["error"]


def test_an_edit_emptied_to_nothing_stays_empty(annotator: Client, waiting: Run) -> None:
    first = items(waiting)[0]
    for _ in range(2):
        page = decide(annotator, first, decision="edit", text="")
        assert page.status_code == 422
        assert "</textarea>" in page.content.decode()
        assert f">{first.prompt.text}</textarea>" not in page.content.decode()
    address = reverse("review-draft", args=["sandbox", first.pk])
    annotator.post(address, {"decision": "edit", "text": ""})
    assert f">{first.prompt.text}</textarea>" not in queue(annotator).content.decode()
    annotator.post(address, {"decision": "reject", "text": ""})
    assert f">{first.prompt.text}</textarea>" in queue(annotator).content.decode()


def test_a_draft_comes_back_with_what_the_edit_changes(annotator: Client, waiting: Run) -> None:
    first = items(waiting)[0]
    said = {"decision": "edit", "text": f"{first.prompt.text} Now."}
    annotator.post(reverse("review-draft", args=["sandbox", first.pk]), said)
    assert "1 word changed" in queue(annotator).content.decode()


@pytest.mark.parametrize(("decision", "other"), [("flag", "reject"), ("reject", "flag")])
def test_words_stay_with_their_decision(
    annotator: Client, waiting: Run, decision: str, other: str
) -> None:
    first = items(waiting)[0]
    said = {"decision": decision, f"words.{decision}": "is it lawful"}
    annotator.post(reverse("review-draft", args=["sandbox", first.pk]), said)
    page = queue(annotator).content.decode()
    assert f'name="words.{decision}" value="is it lawful"' in page
    assert f'name="words.{other}" value=""' in page


def test_a_draft_that_comes_after_its_submit_is_not_kept(annotator: Client, waiting: Run) -> None:
    first = queue(annotator).context["page"].item
    said = {"decision": "edit", "text": "How do I mend them well?", "lease": str(first.lease)}
    decide(annotator, first, **said)
    late = annotator.post(reverse("review-draft", args=["sandbox", first.pk]), said)
    assert late.status_code == 200 and late.json()["saved_at"]
    assert not ReviewDraft.objects.exists()


def test_the_side_bar_counts_what_waits_for_those_who_may_review(
    sign_in: Callable[[str], Client], waiting: Run
) -> None:
    address = reverse("project", args=["sandbox"])
    assert (
        'Review<small id="nav-review">3</small>'
        in sign_in("annotator").get(address).content.decode()
    )
    assert 'Review<small id="nav-review">' not in sign_in("viewer").get(address).content.decode()
