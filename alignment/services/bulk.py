"""One decision for all rewrites of a filter: previewed, which fixes the set; applied; undone.

Each is an adjudication of every rewrite, made by one person. Only undecided rewrites are touched;
what was decided, or is being reviewed, since the preview stays as it is.
"""

from collections.abc import Sequence
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.method.errors import MoraError
from alignment.models import (
    BulkDecision,
    Guideline,
    Review,
    Reviewer,
    ReviewItem,
    Role,
    Stage,
    Status,
)
from alignment.permissions import require
from alignment.review_filters import ReviewFilter, filtered
from alignment.reviewing import Closed, closed_sentence, count, resolve
from alignment.services.answers import Answer, BadAnswer, checked_reason, storable
from alignment.services.queue import FREE, reviewer_of

D, State = Review.Decision, ReviewItem.State
UNDECIDED = (State.PENDING, State.DISPUTED)


def preview_bulk(*, chosen: ReviewFilter, by: User, answer: Answer) -> BulkDecision:
    """What a bulk decision would decide: the undecided rewrites of the filter, fixed by `token`.

    Nothing is decided yet. Rewrites that somebody holds are left out. Raises BadAnswer unless the
    answer approves or rejects with a reason, and where no rewrite is meant; Closed; Denied below
    adjudicator.
    """
    stage = Stage.objects.select_related("run__project").get(pk=chosen.stage)
    require(by, stage.run.project, Role.ADJUDICATOR)
    storable(answer)
    if answer.decision not in (D.APPROVE, D.REJECT):
        raise BadAnswer("many rewrites at once can be approved or rejected")
    reason = checked_reason(answer.reason) if answer.decision == D.REJECT else ""
    if stage.status != Status.WAITING:
        raise Closed(closed_sentence(stage.status))
    found = filtered(chosen).filter(FREE, state__in=UNDECIDED)
    items = list(found.values_list("pk", flat=True))
    if not items:
        raise BadAnswer("no undecided rewrite matches this filter")
    return BulkDecision.objects.create(
        stage=stage,
        by=by,
        filter=chosen.as_json(),
        decision=answer.decision,
        reason=reason,
        words=answer.words.strip(),
        token=uuid4(),
        items=items,
    )


def apply_bulk(*, token: UUID, by: User) -> BulkDecision:
    """Decide the previewed rewrites that are still undecided and held by nobody; see `applied`.

    Applied twice it is applied once. Raises MoraError for a token of somebody else, or of a
    decision that was taken back; Closed.
    """
    with transaction.atomic():
        bulk = _locked(token, by)
        if bulk.undone_at is not None:
            raise MoraError("this bulk decision was taken back; preview it again to decide anew")
        if bulk.applied_at is not None:
            return bulk
        items = _locked_items(bulk.items)
        me = reviewer_of(bulk.stage.run.project, by)
        guideline = Guideline.objects.filter(project=me.project_id).order_by("-version").first()
        Review.objects.bulk_create(
            (
                Review(
                    item_id=item,
                    reviewer=me,
                    decision=bulk.decision,
                    reason=bulk.reason,
                    words=bulk.words,
                    adjudicates=True,
                    guideline=guideline,
                    bulk=bulk,
                )
                for item, _, _ in items
            ),
            batch_size=5000,
        )
        state = State.APPROVED if bulk.decision == D.APPROVE else State.REJECTED
        _decide([pk for pk, _, _ in items], state)
        _count(bulk.stage_id, me, items)
        bulk.applied, bulk.applied_at = len(items), Now()
        bulk.save(update_fields=("applied", "applied_at"))
        lifecycle.emit(bulk.stage.run_id, "review", {"stage": bulk.stage_id})
    lifecycle.close_review(bulk.stage)
    bulk.refresh_from_db()
    return bulk


def undo_bulk(*, token: UUID, by: User) -> BulkDecision:
    """Take back exactly what a bulk decision decided; undone twice it is undone once.

    Raises MoraError where it was not applied; Closed where the stage has closed; Denied unless it
    is the person's own or they own the project.
    """
    with transaction.atomic():
        bulk = _locked(token, by, undoing=True)
        if bulk.applied_at is None:
            raise MoraError("this bulk decision was never applied")
        if bulk.undone_at is not None:
            return bulk
        items = ReviewItem.objects.select_for_update(of=("self",)).filter(
            reviews__bulk=bulk, reviews__withdrawn_at=None
        )
        rows = list(items.order_by("pk").values_list("pk", "needed", "seen_by", "prompt__text"))
        Review.objects.filter(bulk=bulk, withdrawn_at=None).update(withdrawn_at=Now())
        me = reviewer_of(bulk.stage.run.project, bulk.by)
        _reopen(bulk, me, rows)
        bulk.undone_at = Now()
        bulk.save(update_fields=("undone_at",))
        lifecycle.emit(bulk.stage.run_id, "review", {"stage": bulk.stage_id})
    bulk.refresh_from_db()
    return bulk


def _reopen(
    bulk: BulkDecision, me: Reviewer, rows: Sequence[tuple[int, int, list[int], str]]
) -> None:
    """Bring rewrites back to what their reviews make of them: pending, or disputed.

    rows: id, reviews needed, who has one, and text of each.
    """
    said: dict[int, list[Review]] = {pk: [] for pk, _, seen, _ in rows if seen}
    standing = Review.objects.filter(item__stage=bulk.stage_id, withdrawn_at=None)
    for review in standing.only("item_id", "decision", "edited_text", "adjudicates"):
        if review.item_id in said:
            said[review.item_id].append(review)
    found = {pk: resolve(text, needed, said.get(pk, ())).state for pk, needed, _, text in rows}
    for state in UNDECIDED:
        ids = [pk for pk, became in found.items() if became == state]
        ReviewItem.objects.filter(pk__in=ids).update(state=state, outcome=None, decided_at=None)
    disputed = sum(state == State.DISPUTED for state in found.values())
    opened = [
        (who, "open", 1) for pk, _, seen, _ in rows if found[pk] == State.PENDING for who in seen
    ]
    tallies = [(me.pk, "adjudicated", -len(rows)), *opened]
    count(bulk.stage_id, done=-len(rows), disputed=disputed, tallies=tallies)


def _locked(token: UUID, by: User, *, undoing: bool = False) -> BulkDecision:
    found = BulkDecision.objects.select_for_update(of=("self",)).filter(token=token)
    bulk = found.select_related("stage__run__project", "by").first()
    if bulk is None:
        raise MoraError("there is no such bulk decision; preview it again")
    project = bulk.stage.run.project
    require(by, project, Role.ADJUDICATOR)
    if bulk.by_id != by.pk:
        if not undoing:
            raise MoraError("this preview is somebody else's; preview it yourself")
        require(by, project, Role.OWNER)
    if bulk.stage.status != Status.WAITING:
        raise Closed(closed_sentence(bulk.stage.status))
    return bulk


def _locked_items(ids: Sequence[int]) -> list[tuple[int, str, list[int]]]:
    """Id, state and who saw them, of those still undecided and free, their rows locked in order."""
    found = ReviewItem.objects.select_for_update(of=("self",)).filter(
        FREE, pk__in=ids, state__in=UNDECIDED
    )
    return list(found.order_by("pk").values_list("pk", "state", "seen_by"))


def _decide(ids: Sequence[int], state: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE alignment_reviewitem SET state = %s, decided_at = now(), held_by_id = NULL,"
            " outcome_id = CASE WHEN %s = 'approved' THEN prompt_id END"
            " WHERE id = ANY(%s)",
            [state, state, list(ids)],
        )


def _count(stage_id: int, me: Reviewer, items: Sequence[tuple[int, str, list[int]]]) -> None:
    disputed = sum(state == State.DISPUTED for _, state, _ in items)
    opened = [(who, "open", -1) for _, s, seen in items if s == State.PENDING for who in seen]
    tallies = [(me.pk, "adjudicated", len(items)), *opened]
    count(stage_id, done=len(items), disputed=-disputed, tallies=tallies)
