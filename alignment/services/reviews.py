"""Decide rewrites, take decisions back, adjudicate. Nothing accepted is lost or recorded twice.

When the last rewrite of a stage is decided, its clock starts; the sweeper closes it.
"""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.models import Guideline, Review, Reviewer, ReviewItem, Role, Stage, Status
from alignment.permissions import require
from alignment.reviewing import DECISIVE, Closed, closed_sentence, settle
from alignment.services.answers import Answer, BadAnswer, checked, columns
from alignment.services.drafts import answer_of, drop_draft, keep_draft
from alignment.services.queue import Held, is_held_by_another, locked, reviewer_of, take_locked

D, State = Review.Decision, ReviewItem.State
KEPT = "what you wrote is kept as a draft"
OTHERS_LEASE = "this was sent under the lease of another rewrite; open this one again"


def decide_rewrite(
    *,
    item: ReviewItem,
    by: User,
    answer: Answer,
    lease: UUID | None = None,
    guideline: int | None = None,
) -> Review:
    """Record a person's word on a rewrite: approve, edit, reject, skip or flag.

    lease: the token under which it was given out. The same answer sent again with the same token
    changes nothing and answers like the first time. A lease that ran out is no hindrance while
    nobody else holds the rewrite and it still takes the person's review. guideline: the version
    that the person was shown; 0 for none. Without one, or if it never was, the one in force.

    Raises BadAnswer where the answer must be changed; Held where the rewrite is no longer theirs,
    or Closed where its stage is (both keep the text as a draft); Denied.
    """
    try:
        with transaction.atomic():
            item = locked(item.pk)
            require(by, item.stage.run.project, Role.ANNOTATOR)
            me = reviewer_of(item.stage.run.project, by)
            said = checked(answer, item)
            if first := _sent_before(item, me, said, lease):
                return first
            _admit(item, me)
            review = _record(item, me, said, lease=lease, shown=guideline)
            alone = None if item.seen_by else [review]
            is_due = settle(item, [(me.pk, said.decision, 1)], alone)
            drop_draft(item.pk, me.pk)
            _tell(item.stage)
    except (Held, Closed) as error:
        _keep(item, by, answer)
        raise type(error)(f"{error}; {KEPT}") from error
    if is_due:
        lifecycle.close_review(item.stage)
    return review


def _sent_before(
    item: ReviewItem, me: Reviewer, answer: Answer, lease: UUID | None
) -> Review | None:
    """The standing review that the same answer made under the lease before, if any.

    Raises Held where the lease is another rewrite's, or its review was taken back since.
    """
    first = Review.objects.filter(lease=lease).first() if lease else None
    if first is None:
        if lease and item.lease != lease and ReviewItem.objects.filter(lease=lease).exists():
            raise Held(OTHERS_LEASE)
        return None
    if (first.item_id, first.reviewer_id) != (item.pk, me.pk):
        raise Held(OTHERS_LEASE)
    if first.withdrawn_at is not None:
        raise Held("you took your review of this rewrite back since; open the rewrite again")
    return first if answer_of(first) == answer else None


def _admit(item: ReviewItem, me: Reviewer) -> None:
    """Raises Closed or Held unless the person may review the locked item."""
    if item.stage.status != Status.WAITING:
        raise Closed(closed_sentence(item.stage.status))
    if me.pk in item.seen_by:
        raise Held("you have reviewed this rewrite already, perhaps in another window")
    if item.state != State.PENDING:
        raise Held(f"this rewrite takes no more reviews: others made it {item.state}")
    if is_held_by_another(item, me):
        raise Held("your hold on this rewrite ran out and somebody else is reviewing it")


def _record(
    item: ReviewItem,
    me: Reviewer,
    answer: Answer,
    *,
    lease: UUID | None = None,
    shown: int | None = None,
    adjudicates: bool = False,
) -> Review:
    return Review.objects.create(
        item=item,
        reviewer=me,
        **columns(answer, item),
        adjudicates=adjudicates,
        guideline_id=_guideline(me, shown),
        lease=lease,
        leased_at=item.leased_at if lease and item.lease == lease else None,
    )


def _guideline(me: Reviewer, shown: int | None) -> int | None:
    """Id of the guideline that the person went by: the version shown, else the one in force."""
    found = Guideline.objects.filter(project=me.project_id).order_by("-version")
    if shown is not None:
        found = found.filter(version__lte=shown)
    return found.values_list("pk", flat=True).first()


def _keep(item: ReviewItem, by: User, answer: Answer) -> None:
    """Keep all that was sent, whatever the decision; one without words leaves a draft as it is."""
    if answer.text or answer.words or answer.reason or answer.ratings:
        keep_draft(item, reviewer_of(item.stage.run.project, by), answer)


def _tell(stage: Stage) -> None:
    """Announce that the stage's counters moved; not by whom or how, for reviews are blind."""
    lifecycle.emit(stage.run_id, "review", {"stage": stage.pk})


def undo_review(*, item: ReviewItem, by: User) -> ReviewItem:
    """Withdraw the person's own word on a rewrite: their adjudication, else their review.

    What they had said becomes their draft. A rewrite that takes reviews again is leased to them,
    unless somebody else holds it: see the returned item's `held_by`. Raises Held where there is
    nothing to take back or it was adjudicated since; Closed; Denied.
    """
    project = item.stage.run.project
    require(by, project, Role.ANNOTATOR)
    me = reviewer_of(project, by)
    with transaction.atomic():
        # The rewrite that they hold may be given back; every item is locked before its stage.
        both = ReviewItem.objects.filter(Q(pk=item.pk) | Q(held_by=me)).order_by("pk")
        list(both.select_for_update().values_list("pk"))
        item = locked(item.pk)
        if item.stage.status != Status.WAITING:
            raise Closed(closed_sentence(item.stage.status))
        review = _withdrawable(item, me)
        Review.objects.filter(pk=review.pk).update(withdrawn_at=Now())
        keep_draft(item, me, answer_of(review))
        column = "adjudicated" if review.adjudicates else review.decision
        settle(item, [(me.pk, column, -1)])
        if item.state == State.PENDING and not review.adjudicates:
            item = take_locked(item, me)
        _tell(item.stage)
    return item


def _withdrawable(item: ReviewItem, me: Reviewer) -> Review:
    standing = list(item.reviews.filter(withdrawn_at=None))
    mine = [r for r in standing if r.reviewer_id == me.pk]
    if not mine:
        raise Held("you have no review of this rewrite to take back")
    review = max(mine, key=lambda r: r.adjudicates)
    if review.bulk_id is not None:
        raise Held("this was decided in bulk; undo the bulk decision")
    if not review.adjudicates and any(r.adjudicates for r in standing):
        raise Held("this rewrite was adjudicated since, so your review stands")
    return review


def adjudicate(*, item: ReviewItem, by: User, answer: Answer) -> Review:
    """Settle a rewrite whatever its reviews say: approve, edit or reject it.

    The reviews stay as they are. Sent twice by the same person it is recorded once. Raises
    BadAnswer; Held where somebody adjudicated it or holds it just now; Closed; Denied.
    """
    project = item.stage.run.project
    require(by, project, Role.ADJUDICATOR)
    me = reviewer_of(project, by)
    with transaction.atomic():
        item = locked(item.pk)
        answer = checked(answer, item)
        if answer.decision not in DECISIVE:
            raise BadAnswer("an adjudication approves, edits or rejects")
        if item.stage.status != Status.WAITING:
            raise Closed(closed_sentence(item.stage.status))
        standing = item.reviews.filter(withdrawn_at=None, adjudicates=True)
        if first := standing.select_related("reviewer").first():
            if first.reviewer_id == me.pk and answer_of(first) == answer:
                return first
            raise Held(f"{first.reviewer} has adjudicated this rewrite; it must be undone first")
        if item.state == State.PENDING and is_held_by_another(item, me):
            raise Held("somebody is reviewing this rewrite just now")
        review = _record(item, me, answer, adjudicates=True)
        is_due = settle(item, [(me.pk, "adjudicated", 1)])
        drop_draft(item.pk, me.pk)
        _tell(item.stage)
    if is_due:
        lifecycle.close_review(item.stage)
    return review
