"""Decisions: what is recorded, what is refused and why, and what becomes of the rewrite."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from alignment.models import Project, Prompt, Review, ReviewDraft, ReviewItem, Run, Stage
from alignment.permissions import Denied
from alignment.queries.own_reviews import own
from alignment.queries.reviews import reviews_visible
from alignment.reviewing import Closed
from alignment.services.answers import MOST_TEXT, MOST_WORDS, Answer, BadAnswer
from alignment.services.drafts import answer_of, save_draft
from alignment.services.queue import Held, next_item, take_item
from alignment.services.reviews import adjudicate, decide_rewrite, undo_review
from tests.review.conftest import APPROVE, FLAG, REJECT, SKIP, desk, edit


def decide(item: ReviewItem, by: User, answer: Answer) -> ReviewItem:
    decide_rewrite(item=item, by=by, answer=answer)
    item.refresh_from_db()
    return item


def item_of(stage: Stage, number: int = 0) -> ReviewItem:
    items = stage.review_items.select_related("stage__run__project", "prompt__parent")
    return items.order_by("pk")[number]


def test_an_approval_lets_the_rewrite_go_on(stage: Stage, bob: User) -> None:
    item = decide(item_of(stage), bob, APPROVE)
    assert (item.state, item.outcome_id) == ("approved", item.prompt_id)
    assert item.decided_at is not None
    stage.refresh_from_db()
    assert (stage.done, stage.disputed, stage.closes_at) == (1, 0, None)


def test_an_edit_keeps_the_suggestion_the_edit_and_their_distance(stage: Stage, bob: User) -> None:
    item = item_of(stage)
    suggestion = item.prompt.text
    text = suggestion.replace("Say how", "Tell me briefly how")
    decide(item, bob, edit(f"  {text}\n"))
    review = Review.objects.get()
    assert (review.edited_text, review.distance) == (text, 3)
    assert item.state == "edited"
    assert item.outcome is not None
    assert (item.outcome.text, item.outcome.parent_id) == (text, item.prompt.parent_id)
    assert Prompt.objects.get(pk=item.prompt_id).text == suggestion


def test_a_rejection_keeps_reason_and_words_and_leads_to_nothing(stage: Stage, bob: User) -> None:
    item = decide(item_of(stage), bob, REJECT)
    assert (item.state, item.outcome) == ("rejected", None)
    review = Review.objects.get()
    assert (review.reason, review.words) == ("not_natural", "stilted")


def test_ratings_are_kept_with_the_decision(stage: Stage, bob: User) -> None:
    ratings = {"intent_kept": 5, "natural": 3}
    decide(item_of(stage), bob, Answer(decision="approve", ratings=ratings))
    assert Review.objects.get().ratings == ratings


def bad_answers(item: ReviewItem) -> list[tuple[Answer, str]]:
    assert item.prompt.parent is not None
    original = item.prompt.parent.text
    return [
        (edit(" \n "), "is empty"),
        (edit(original), "is the original again"),
        (edit(f" {original.replace(' ', '  ')} "), "is the original again"),
        (edit("how do I paint 2 doors"), "held out for evaluation"),
        (edit("\u200b \u2060\x1b"), "is empty"),
        (edit(original.upper().replace(" ", " \u200b")), "is the original again"),
        (edit(f"\u200e{original}\u200d"), "is the original again"),
        (edit("Mend \x1b[1mit"), r"has U\+001B \(a control character\)"),
        (edit("Mend \u202eit"), r"has U\+202E \(RIGHT-TO-LEFT OVERRIDE\)"),
        (edit("a\x00b"), "NUL character"),
        (edit("a\ud800b"), "surrogate"),
        (edit("x" * (MOST_TEXT + 1)), "20,001 characters"),
        (Answer(decision="approve", words="x" * (MOST_WORDS + 1)), "2,001 characters"),
        (Answer(decision="reject"), "needs a reason"),
        (Answer(decision="reject", reason="boring"), "needs a reason"),
        (Answer(decision="flag"), "say in a few words"),
        (Answer(decision="burn"), "no decision 'burn'"),
        (Answer(decision="approve", ratings={"natural": 6}), "from 1 to 5"),
        (Answer(decision="approve", ratings={"natural": True}), "from 1 to 5"),
        (Answer(decision="approve", ratings={"beauty": 1}), "no rating 'beauty'"),
    ]


@pytest.mark.parametrize("case", range(20))
def test_an_answer_that_cannot_be_kept_is_refused_and_changes_nothing(
    stage: Stage, bob: User, case: int
) -> None:
    item = item_of(stage)
    answer, told = bad_answers(item)[case]
    with pytest.raises(BadAnswer, match=told):
        decide_rewrite(item=item, by=bob, answer=answer)
    item.refresh_from_db()
    assert item.state == "pending"
    assert not Review.objects.exists()


def test_an_edit_that_changes_nothing_is_an_approval(stage: Stage, bob: User) -> None:
    item = item_of(stage)
    decide(item, bob, edit(f"{item.prompt.text}\n"))
    assert item.state == "approved"
    assert Review.objects.get().decision == "approve"


def test_joiners_that_a_script_needs_stay_in_an_edit(stage: Stage, bob: User) -> None:
    text = "क\u094d\u200dष का चित्र 👩\u200d🔧\n\tकैसे बनाऊँ?"
    decide(item_of(stage), bob, edit(text))
    assert Review.objects.get().edited_text == text


def test_a_forms_line_ends_are_those_of_the_text(stage: Stage, bob: User) -> None:
    item = item_of(stage)
    Prompt.objects.filter(pk=item.prompt_id).update(text="First line.\nSecond line.")
    decide(item, bob, edit("First line.\r\nSecond line."))
    assert Review.objects.get().decision == "approve", "nothing was changed"
    save_draft(item=item_of(stage, 1), by=bob, answer=edit("a\r\nb"))
    assert ReviewDraft.objects.get().text == "a\nb"


@pytest.mark.parametrize("blank", ["\u3164", "\u2800", "\ufe0f", "\u115f\u200b"])
def test_an_edit_that_shows_as_nothing_is_empty(stage: Stage, bob: User, blank: str) -> None:
    with pytest.raises(BadAnswer, match="is empty"):
        decide(item_of(stage), bob, edit(blank))


def test_a_draft_keeps_no_rating_that_there_is_not(stage: Stage, bob: User) -> None:
    said = Answer(decision="", ratings={"x\x00": 3, "natural": 2})
    save_draft(item=item_of(stage), by=bob, answer=said)
    assert ReviewDraft.objects.get().ratings == {"natural": 2}


def test_who_skipped_a_decided_rewrite_does_not_see_what_others_said(
    run: Run, bob: User, cy: User, judge: User
) -> None:
    item = item_of(desk(run, 1))
    Stage.objects.filter(pk=item.stage_id).update(total=2)  # the review goes on
    decide(item, cy, SKIP)
    decide(item_of(item.stage), bob, APPROVE)
    item = item_of(item.stage)
    assert [r.decision for r in reviews_visible(item, cy)] == ["skip"]
    assert len(reviews_visible(item, judge)) == 2


def test_a_run_without_ratings_takes_none(stage: Stage, bob: User) -> None:
    Stage.objects.filter(pk=stage.pk).update(
        config={"review": {"mode": "required", "ratings": False}}
    )
    with pytest.raises(BadAnswer, match="asks for no ratings"):
        decide(item_of(stage), bob, Answer(decision="approve", ratings={"natural": 1}))


def test_reviews_that_agree_decide_and_others_are_disputed(run: Run, bob: User, cy: User) -> None:
    stage = desk(run, 5, overlap=2)
    text = "How do I mend it, step by step?"
    pairs = [
        (APPROVE, APPROVE, "approved"),
        (edit(text), edit(text), "edited"),
        (REJECT, Answer(decision="reject", reason="adds_harm"), "rejected"),
        (APPROVE, edit(text), "disputed"),
        (edit(text), REJECT, "disputed"),
    ]
    for number, (first, second, state) in enumerate(pairs):
        item = decide(item_of(stage, number), bob, first)
        assert item.state == "pending"
        assert decide(item, cy, second).state == state
    stage.refresh_from_db()
    assert (stage.done, stage.disputed, stage.closes_at) == (3, 2, None)


def test_a_flag_sends_the_rewrite_to_an_adjudicator_at_once(
    run: Run, bob: User, cy: User, judge: User
) -> None:
    stage = desk(run, 1, overlap=2)
    item = decide(item_of(stage), bob, FLAG)
    assert item.state == "disputed"
    with pytest.raises(Held, match="others made it disputed"):
        decide(item, cy, APPROVE)
    adjudicate(item=item, by=judge, answer=Answer(decision="approve", words="it is"))
    item.refresh_from_db()
    assert item.state == "approved"
    stage.refresh_from_db()
    assert (stage.done, stage.disputed) == (1, 0)
    assert stage.closes_at is not None


def test_an_adjudication_settles_and_is_not_overruled(
    run: Run, bob: User, cy: User, people: dict[str, User], judge: User
) -> None:
    item = item_of(desk(run, 1, overlap=2))
    decide(item, bob, APPROVE)
    decide(item, cy, REJECT)
    with pytest.raises(Denied):
        adjudicate(item=item, by=bob, answer=APPROVE)
    with pytest.raises(BadAnswer, match="approves, edits or rejects"):
        adjudicate(item=item, by=judge, answer=SKIP)
    first = adjudicate(item=item, by=judge, answer=edit("Mend it how?"))
    assert adjudicate(item=item, by=judge, answer=edit("Mend it how?")).pk == first.pk
    with pytest.raises(Held, match="a-adjudicator has adjudicated"):
        adjudicate(item=item, by=people["owner"], answer=REJECT)
    with pytest.raises(Held, match="adjudicated since"):
        undo_review(item=item, by=bob)
    item.refresh_from_db()
    assert (item.state, item.outcome and item.outcome.text) == ("edited", "Mend it how?")
    assert undo_review(item=item, by=judge).state == "disputed"
    assert Review.objects.filter(adjudicates=True, withdrawn_at=None).count() == 0


def test_what_is_taken_back_is_kept_as_history_and_becomes_the_draft(
    project: Project, stage: Stage, bob: User
) -> None:
    item = decide(item_of(stage), bob, edit("Mend it how?", words="clearer"))
    held = next_item(project=project, by=bob)
    assert held is not None and held.pk != item.pk
    back = undo_review(item=item, by=bob)
    assert (back.state, back.outcome_id, str(back.held_by)) == ("pending", None, "bob")
    draft = ReviewDraft.objects.get(item=item)
    assert (draft.decision, draft.text, draft.words) == ("edit", "Mend it how?", "clearer")
    assert Review.objects.get().withdrawn_at is not None
    again = next_item(project=project, by=bob)
    assert again is not None and again.pk == item.pk
    with pytest.raises(Held, match="no review of this rewrite"):
        undo_review(item=item, by=bob)
    decide_rewrite(item=again, by=bob, answer=REJECT, lease=again.lease)
    assert [r.decision for r in Review.objects.filter(withdrawn_at=None)] == ["reject"]
    assert not ReviewDraft.objects.exists()


def test_a_skip_can_be_taken_back(project: Project, run: Run, bob: User) -> None:
    item = decide(item_of(desk(run, 1)), bob, SKIP)
    assert next_item(project=project, by=bob) is None
    undo_review(item=item, by=bob)
    found = next_item(project=project, by=bob)
    assert found is not None and found.pk == item.pk


def test_a_double_click_is_answered_like_the_first(
    project: Project, stage: Stage, bob: User
) -> None:
    item = next_item(project=project, by=bob)
    assert item is not None
    first = decide_rewrite(item=item, by=bob, answer=APPROVE, lease=item.lease)
    again = decide_rewrite(item=item, by=bob, answer=APPROVE, lease=item.lease)
    assert again.pk == first.pk
    stage.refresh_from_db()
    assert (stage.done, Review.objects.count(), ReviewDraft.objects.count()) == (1, 1, 0)


@pytest.mark.parametrize("second", [REJECT, edit("Mend it how?")])
def test_another_answer_under_a_used_lease_is_refused_and_kept(
    project: Project, stage: Stage, bob: User, second: Answer
) -> None:
    item = next_item(project=project, by=bob)
    assert item is not None
    decide_rewrite(item=item, by=bob, answer=APPROVE, lease=item.lease)
    with pytest.raises(Held, match=r"reviewed this rewrite already.*kept as a draft"):
        decide_rewrite(item=item, by=bob, answer=second, lease=item.lease)
    draft = ReviewDraft.objects.get()
    assert (draft.decision, draft.text) == (second.decision, second.text)
    assert [r.decision for r in Review.objects.all()] == ["approve"]


@pytest.mark.parametrize(
    "sent",
    [
        Answer(decision="approve", text="Mend it how?", ratings={"natural": 4}),
        Answer(decision="reject", text="Mend it how?", reason="other", words="vague"),
        Answer(decision="flag", text="Mend it how?", words="lawful?"),
        Answer(decision="skip", text="Mend it how?"),
    ],
)
def test_all_that_was_sent_with_a_refused_decision_is_kept(
    stage: Stage, bob: User, cy: User, sent: Answer
) -> None:
    item = item_of(stage)
    decide(item, cy, APPROVE)
    with pytest.raises(Held, match="kept as a draft"):
        decide_rewrite(item=item, by=bob, answer=sent)
    assert answer_of(ReviewDraft.objects.get()) == sent


def test_an_edit_that_was_recorded_as_an_approval_is_the_same_again(
    project: Project, stage: Stage, bob: User
) -> None:
    item = next_item(project=project, by=bob)
    assert item is not None
    same = edit(f"{item.prompt.text}\n", ratings={"natural": 4})
    first = decide_rewrite(item=item, by=bob, answer=same, lease=item.lease)
    assert decide_rewrite(item=item, by=bob, answer=same, lease=item.lease).pk == first.pk
    assert not ReviewDraft.objects.exists()


@pytest.mark.parametrize("again", [APPROVE, edit("Mend it how?")])
def test_what_is_sent_under_the_lease_of_a_review_taken_back_is_kept_as_a_draft(
    project: Project, stage: Stage, bob: User, again: Answer
) -> None:
    item = next_item(project=project, by=bob)
    assert item is not None
    decide_rewrite(item=item, by=bob, answer=APPROVE, lease=item.lease)
    back = undo_review(item=item, by=bob)
    with pytest.raises(Held, match=r"took your review of this rewrite back since.*kept"):
        decide_rewrite(item=item, by=bob, answer=again, lease=item.lease)
    assert ReviewDraft.objects.get().decision == again.decision
    decide_rewrite(item=back, by=bob, answer=again, lease=back.lease)
    assert [r.decision for r in Review.objects.filter(withdrawn_at=None)] == [again.decision]


def test_the_lease_of_another_rewrite_is_refused_and_the_text_kept(
    project: Project, stage: Stage, bob: User
) -> None:
    item = next_item(project=project, by=bob)
    assert item is not None
    other = item_of(stage, 1)
    with pytest.raises(Held, match=r"under the lease of another rewrite.*kept as a draft"):
        decide_rewrite(item=other, by=bob, answer=edit("Mend it how?"), lease=item.lease)
    assert ReviewDraft.objects.get(item=other).text == "Mend it how?"
    decide_rewrite(item=item, by=bob, answer=APPROVE, lease=item.lease)
    with pytest.raises(Held, match="under the lease of another rewrite"):
        decide_rewrite(item=other, by=bob, answer=APPROVE, lease=item.lease)
    assert Review.objects.get().item_id == item.pk


def test_who_submits_without_that_lease_a_second_time_is_told(stage: Stage, bob: User) -> None:
    item = decide(item_of(stage), bob, APPROVE)
    with pytest.raises(Held, match="perhaps in another window; what you wrote is kept"):
        decide_rewrite(item=item, by=bob, answer=edit("Mend it how?"), lease=uuid4())
    assert ReviewDraft.objects.get().text == "Mend it how?"


def test_a_lease_that_ran_out_still_serves_while_nobody_took_the_rewrite(
    project: Project, stage: Stage, bob: User, cy: User
) -> None:
    item = next_item(project=project, by=bob)
    assert item is not None
    gone = Now() - timedelta(seconds=1)
    ReviewItem.objects.filter(pk=item.pk).update(lease_expires_at=gone)
    decide_rewrite(item=item, by=bob, answer=APPROVE, lease=item.lease)
    second = next_item(project=project, by=bob)
    assert second is not None
    ReviewItem.objects.filter(pk=second.pk).update(lease_expires_at=gone)
    take_item(item=second, by=cy)
    with pytest.raises(Held, match="ran out and somebody else is reviewing it; what you wrote"):
        decide_rewrite(item=second, by=bob, answer=edit("Mend it how?"), lease=second.lease)
    assert ReviewDraft.objects.get(item=second).text == "Mend it how?"


@pytest.mark.parametrize(
    ("status", "told"), [("cancelled", "its run was cancelled"), ("succeeded", "rerun from review")]
)
def test_a_closed_review_takes_nothing_and_keeps_the_text(
    stage: Stage, bob: User, judge: User, status: str, told: str
) -> None:
    item = decide(item_of(stage, 1), bob, APPROVE)
    Stage.objects.filter(pk=stage.pk).update(status=status)
    with pytest.raises(Closed, match=told):
        decide_rewrite(item=item_of(stage), by=bob, answer=edit("Mend it how?"))
    assert ReviewDraft.objects.get().text == "Mend it how?"
    with pytest.raises(Closed):
        undo_review(item=item, by=bob)
    with pytest.raises(Closed):
        adjudicate(item=item, by=judge, answer=REJECT)
    assert Review.objects.count() == 1


def test_a_draft_is_kept_with_its_time_and_replaces_the_one_before(stage: Stage, bob: User) -> None:
    item = item_of(stage)
    first = save_draft(item=item, by=bob, answer=edit("Mend"))
    second = save_draft(item=item, by=bob, answer=Answer(decision="", text="Mend it", words="?"))
    assert first.pk == second.pk
    assert second.saved_at >= first.saved_at
    draft = ReviewDraft.objects.get()
    assert (draft.decision, draft.text, draft.words) == ("", "Mend it", "?")
    with pytest.raises(BadAnswer, match="NUL"):
        save_draft(item=item, by=bob, answer=edit("\x00"))


def test_a_draft_that_comes_after_its_submit_is_not_kept(
    project: Project, stage: Stage, bob: User
) -> None:
    item = next_item(project=project, by=bob)
    assert item is not None
    made = decide_rewrite(item=item, by=bob, answer=edit("Mend it how?"), lease=item.lease)
    late = save_draft(item=item, by=bob, answer=edit("Mend it ho"), lease=item.lease)
    assert (late.pk, late.text, late.saved_at) == (None, "Mend it how?", made.created_at)
    assert not ReviewDraft.objects.exists()
    again = undo_review(item=item, by=bob)
    save_draft(item=item, by=bob, answer=edit("Mend"), lease=again.lease)
    assert ReviewDraft.objects.get().text == "Mend"


def test_reviews_of_others_are_not_shown_before_all_are_in(
    run: Run, bob: User, cy: User, judge: User
) -> None:
    item = item_of(desk(run, 1, overlap=2))

    def seen_by(user: User) -> list[str]:
        item.refresh_from_db()
        return [review.reviewer.name for review in reviews_visible(item, user)]

    decide(item, bob, APPROVE)
    assert [seen_by(user) for user in (bob, cy, judge)] == [["bob"], [], []]
    decide(item, cy, REJECT)
    assert [seen_by(user) for user in (bob, cy, judge)] == [["bob"], ["cy"], ["bob", "cy"]]
    adjudicate(item=item, by=judge, answer=APPROVE)
    assert seen_by(bob) == ["bob", "cy", "a-adjudicator"]


def test_who_may_still_be_asked_sees_nobodys_review_of_a_decided_rewrite(
    stage: Stage, bob: User, cy: User, judge: User
) -> None:
    item = decide(item_of(stage), bob, REJECT)
    assert [len(reviews_visible(item, user)) for user in (bob, cy, judge)] == [1, 0, 1]
    undo_review(item=item, by=bob)
    ReviewItem.objects.update(held_by=None)
    decide(item, cy, APPROVE)
    assert [len(reviews_visible(item, user)) for user in (bob, cy, judge)] == [0, 1, 1]
    Stage.objects.filter(pk=stage.pk).update(status="succeeded")
    item.stage.refresh_from_db()
    assert [len(reviews_visible(item, user)) for user in (bob, cy, judge)] == [1, 1, 1]


def test_a_draft_of_an_older_window_does_not_write_over_a_newer_windows(
    project: Project, stage: Stage, bob: User
) -> None:
    older = next_item(project=project, by=bob)
    newer = next_item(project=project, by=bob, anew=True)
    assert older is not None and newer is not None and older.lease != newer.lease
    save_draft(item=newer, by=bob, answer=edit("long text"), lease=newer.lease)
    with pytest.raises(Held, match="open in another window of yours"):
        save_draft(item=newer, by=bob, answer=edit("x"), lease=older.lease)
    assert ReviewDraft.objects.get().text == "long text"
    ReviewItem.objects.update(lease_expires_at=Now() - timedelta(seconds=1))
    save_draft(item=newer, by=bob, answer=edit("x"), lease=older.lease)
    assert ReviewDraft.objects.get().text == "x", "nobody else has it any more"


def test_what_was_imported_in_ones_name_is_not_ones_pace_nor_undone_by_a_key(
    project: Project, stage: Stage, bob: User
) -> None:
    decide(item_of(stage, 0), bob, APPROVE)
    decide(item_of(stage, 1), bob, REJECT)
    imported = Review.objects.order_by("pk").last()
    assert imported is not None
    Review.objects.filter(pk=imported.pk).update(source="elsewhere.csv")
    found = own(project, bob)
    assert found.today == 1
    assert [review.decision for review in found.recent] == ["approve"]
