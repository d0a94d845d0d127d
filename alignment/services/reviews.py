"""Decide rewrites. The last decision closes the review stage and the run goes on."""

from django.contrib.auth.models import User
from django.db import transaction

from alignment import lifecycle
from alignment.method.errors import MoraError
from alignment.models import Prompt, Review, ReviewItem, Role, Stage, Status
from alignment.permissions import require

D, State = Review.Decision, ReviewItem.State


def decide_rewrite(
    *,
    item: ReviewItem,
    decision: str,
    by: User,
    text: str = "",
    reason: str = "",
) -> None:
    """Record a person's decision on a rewrite: approve, edit (with `text`) or reject.

    Raises MoraError when the stage is closed, somebody decided it first, or the edit is empty.
    """
    require(by, item.stage.run.project, Role.ANNOTATOR)
    text = text.strip()
    if decision == D.EDIT and not text:
        raise MoraError("the edited rewrite is empty; write it, or reject the rewrite")
    if "\x00" in text + reason:
        raise MoraError("the text holds a NUL character, which cannot be stored; remove it")
    if decision == D.EDIT and text == item.prompt.text:
        decision = D.APPROVE
    with transaction.atomic():
        item = (
            ReviewItem.objects.select_for_update().select_related("stage", "prompt").get(pk=item.pk)
        )
        if item.stage.status != Status.WAITING:
            raise MoraError(f"this review is closed: its stage is {item.stage.status}")
        if item.state != State.PENDING:
            raise MoraError("this rewrite was decided already, perhaps by somebody else")
        edited = text if decision == D.EDIT else ""
        Review.objects.create(
            item=item, reviewer_id=by.pk, decision=decision, edited_text=edited, reason=reason
        )
        _apply(item, decision, text)
        done = item.stage.total - item.stage.review_items.filter(state=State.PENDING).count()
        Stage.objects.filter(pk=item.stage_id).update(done=done)
        lifecycle.emit(item.stage.run_id, "review", {"item": item.pk, "decision": decision})
    lifecycle.close_review(item.stage)


def _apply(item: ReviewItem, decision: str, text: str) -> None:
    if decision == D.APPROVE:
        item.state, item.outcome = State.APPROVED, item.prompt
    elif decision == D.EDIT:
        item.state, item.outcome = State.EDITED, _edited(item, text)
    elif decision == D.REJECT:
        item.state = State.REJECTED
    else:
        raise MoraError(f"no decision {decision!r}; use approve, edit or reject")
    item.save(update_fields=("state", "outcome"))


def _edited(item: ReviewItem, text: str) -> Prompt:
    """The person's text as a prompt of its own; the suggestion stays as it was."""
    parent = item.prompt.parent
    assert parent is not None, "a rewrite has a parent"
    prompt, _ = Prompt.objects.get_or_create(
        stage=item.stage,
        key=Prompt.key_of(text, parent.key),
        defaults={
            "text": text,
            "prompt_set": item.prompt.prompt_set,
            "kind": item.prompt.kind,
            "parent": parent,
            "strategy": item.prompt.strategy,
        },
    )
    return prompt
