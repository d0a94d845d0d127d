"""Drafts: what a person has written about a rewrite, kept on the server until they submit."""

from dataclasses import replace
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from alignment.models import Review, ReviewDraft, Reviewer, ReviewItem, Role
from alignment.permissions import require
from alignment.services.answers import MOST_TEXT, MOST_WORDS, RATINGS, Answer, storable
from alignment.services.queue import ELSEWHERE, Held, locked, reviewer_of


def save_draft(
    *, item: ReviewItem, by: User, answer: Answer, lease: UUID | None = None
) -> ReviewDraft:
    """Keep the person's draft of an item in place of the one before; it may be incomplete.

    It is kept even where the item is no longer theirs to review; but one that comes after the
    review that was submitted under the same lease changes nothing, and is given back unsaved.
    Raises BadAnswer for text that cannot be stored; Held where a newer window of the person has
    the item, whose draft an older one must not write over; Denied.
    """
    require(by, item.stage.run.project, Role.ANNOTATOR)
    storable(answer)
    me = reviewer_of(item.stage.run.project, by)
    with transaction.atomic():
        held = locked(item.pk)
        sent = Review.objects.filter(item=item, reviewer=me, lease=lease, withdrawn_at=None)
        if lease and (review := sent.first()):
            return _draft_of(review)
        if lease and held.in_force and held.held_by_id == me.pk and held.lease != lease:
            raise Held(ELSEWHERE)
        return keep_draft(item, me, answer)


def _draft_of(review: Review) -> ReviewDraft:
    """What was submitted, as the draft that it was; not saved."""
    return ReviewDraft(
        item_id=review.item_id,
        reviewer_id=review.reviewer_id,
        decision=review.decision,
        text=review.edited_text,
        reason=review.reason,
        words=review.words,
        ratings=review.ratings,
        saved_at=review.created_at,
    )


def keep_draft(item: ReviewItem, me: Reviewer, answer: Answer) -> ReviewDraft:
    """The draft as it is stored; what is no decision, reason or rating (yet) is left out."""
    draft, _ = ReviewDraft.objects.update_or_create(
        item=item,
        reviewer=me,
        defaults={
            "decision": answer.decision if answer.decision in Review.Decision.values else "",
            "text": answer.text[:MOST_TEXT],
            "reason": answer.reason if answer.reason in Review.Reason.values else "",
            "words": answer.words[:MOST_WORDS],
            "ratings": {n: v for n, v in answer.ratings.items() if n in RATINGS},
            "saved_at": Now(),
        },
    )
    draft.refresh_from_db(fields=("saved_at",))
    return draft


def drop_draft(item_id: int, reviewer_id: int) -> None:
    ReviewDraft.objects.filter(item=item_id, reviewer=reviewer_id).delete()


def answer_of(draft: ReviewDraft | Review) -> Answer:
    """A draft or a review as an answer again."""
    text = draft.text if isinstance(draft, ReviewDraft) else draft.edited_text
    return replace(
        Answer(decision=draft.decision, reason=draft.reason, words=draft.words),
        text=text,
        ratings=draft.ratings,
    )
