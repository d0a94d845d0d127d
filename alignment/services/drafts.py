"""Drafts: what a person has written about a rewrite, kept on the server until they submit."""

from dataclasses import replace

from django.contrib.auth.models import User
from django.db.models.functions import Now

from alignment.models import Review, ReviewDraft, Reviewer, ReviewItem, Role
from alignment.permissions import require
from alignment.services.answers import MOST_TEXT, MOST_WORDS, Answer, storable
from alignment.services.queue import reviewer_of


def save_draft(*, item: ReviewItem, by: User, answer: Answer) -> ReviewDraft:
    """Keep the person's draft of an item in place of the one before; it may be incomplete.

    It is kept even where the item is no longer theirs to review. Raises BadAnswer for text that
    cannot be stored; Denied.
    """
    require(by, item.stage.run.project, Role.ANNOTATOR)
    storable(answer)
    return keep_draft(item, reviewer_of(item.stage.run.project, by), answer)


def keep_draft(item: ReviewItem, me: Reviewer, answer: Answer) -> ReviewDraft:
    """The draft as it is stored; what is no decision or reason (yet) is left out."""
    draft, _ = ReviewDraft.objects.update_or_create(
        item=item,
        reviewer=me,
        defaults={
            "decision": answer.decision if answer.decision in Review.Decision.values else "",
            "text": answer.text[:MOST_TEXT],
            "reason": answer.reason if answer.reason in Review.Reason.values else "",
            "words": answer.words[:MOST_WORDS],
            "ratings": dict(answer.ratings),
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
