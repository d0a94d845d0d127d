"""The queue of a review desk: who holds which rewrite, and until when.

A lease is a row's: at most one person holds an item, and a person holds one item of a project. It
ends with a review, by being given back, or by the database's clock. Everybody sees an item once.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from alignment.method.errors import MoraError
from alignment.models import Project, Reviewer, ReviewItem, Role, Stage, Status
from alignment.permissions import may, require
from alignment.reviewing import closed_sentence

State = ReviewItem.State
LEASE = timedelta(minutes=10)
FREE = Q(lease_expires_at=None) | Q(lease_expires_at__lte=Now()) | Q(held_by=None)
_NOW = "statement_timestamp()"
# The person's item, its lease renewed where it can still be reviewed, else given back.
_RENEW = """
UPDATE alignment_reviewitem i
SET held_by_id = CASE WHEN {usable} THEN i.held_by_id END, lease = coalesce(%(anew)s, i.lease),
    lease_expires_at = {now} + CASE WHEN {usable} THEN %(lease)s ELSE interval '0' END
FROM alignment_stage s WHERE i.held_by_id = %(me)s AND s.id = i.stage_id
RETURNING CASE WHEN i.held_by_id IS NOT NULL THEN i.id END
""".format(
    now=_NOW,
    usable="i.state = 'pending' AND s.status = 'waiting'"
    " AND coalesce(s.id = %(stage)s, true) AND NOT i.seen_by @> ARRAY[%(me)s]::bigint[]",
)
# Review stages that hold something for the person, by their counters.
_STAGES = """
SELECT s.id FROM alignment_stage s JOIN alignment_run r ON r.id = s.run_id
LEFT JOIN alignment_reviewtally t ON t.stage_id = s.id AND t.reviewer_id = %(me)s
WHERE r.project_id = %(project)s AND s.kind = 'review' AND s.status = 'waiting'
  AND coalesce(s.id = %(stage)s, true) AND s.total - s.done - s.disputed > coalesce(t.open, 0)
ORDER BY s.id
"""
_FREE = f"(i.held_by_id IS NULL OR i.lease_expires_at IS NULL OR i.lease_expires_at <= {_NOW})"
_ASSIGNED = f"""
SELECT i.id FROM alignment_reviewitem i WHERE i.assigned_to_id = %(me)s AND i.state = 'pending'
  AND i.stage_id = %(stage)s AND {_FREE} ORDER BY i.id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# The first free item that a person has not seen, a group of items alike in who saw them at a
# time: as many index probes as there are groups, however many items a group has. Begun items
# come before fresh ones.
_SEEK = f"""
WITH RECURSIVE alike AS (
  (SELECT seen_by FROM alignment_reviewitem WHERE stage_id = %(stage)s AND {{those}}
   ORDER BY seen_by DESC LIMIT 1)
  UNION ALL
  SELECT (SELECT i.seen_by FROM alignment_reviewitem i WHERE i.stage_id = %(stage)s AND {{those}}
    AND i.seen_by < a.seen_by ORDER BY i.seen_by DESC LIMIT 1)
  FROM alike a WHERE a.seen_by IS NOT NULL
)
SELECT found.id FROM alike a CROSS JOIN LATERAL (
  SELECT i.id FROM alignment_reviewitem i WHERE i.stage_id = %(stage)s AND {{those}}
    AND i.seen_by = a.seen_by AND {_FREE} ORDER BY i.id LIMIT 1 FOR UPDATE SKIP LOCKED
) found WHERE a.seen_by IS NOT NULL AND NOT a.seen_by @> ARRAY[%(me)s]::bigint[] LIMIT 1
"""
# Those assigned to the person, then nobody's, then those of others; each only where the one
# before it finds nothing.
_LEASE = """
UPDATE alignment_reviewitem
SET held_by_id = %(me)s, lease = %(token)s, leased_at = {now},
    lease_expires_at = {now} + %(lease)s
WHERE id = coalesce(({assigned}), ({nobodys}), ({others})) RETURNING id
""".format(
    now=_NOW,
    assigned=_ASSIGNED,
    nobodys=_SEEK.format(those="state = 'pending' AND assigned_to_id IS NULL"),
    others=_SEEK.format(those="state = 'pending' AND assigned_to_id IS NOT NULL"),
)


ELSEWHERE = "this rewrite is open in another window of yours"


class Held(MoraError):
    """Somebody else holds the rewrite, or it takes no more reviews from this person."""


def reviewer_of(project: Project, user: User) -> Reviewer:
    """The user as a reviewer of the project; made where absent."""
    found = Reviewer.objects.filter(project=project, user_id=user.pk).first()
    if found is None:
        found, _ = Reviewer.objects.get_or_create(
            project=project, user_id=user.pk, defaults={"name": user.get_username()}
        )
    return found


def next_item(
    *, project: Project, by: User, stage: Stage | None = None, anew: bool = False
) -> ReviewItem | None:
    """Lease the next rewrite that the person is to review, or None when there is none for them.

    The one they hold already is given again, with its lease renewed and its token kept. Then those
    assigned to them, then those of nobody, then those assigned to others; begun ones first.
    stage: of this review stage only. anew: the one they hold gets a new token, so that what gives
    the lease back under the old one comes too late. The item's `lease` is what submitting it takes.
    Raises Denied.
    """
    require(by, project, Role.ANNOTATOR)
    me = reviewer_of(project, by)
    for _ in range(3):
        try:
            with transaction.atomic():
                found = _held_or_leased(me, stage, anew)
        except IntegrityError:  # the same person asked twice at once; now they hold one
            continue
        return _items().get(pk=found) if found else None
    raise MoraError("another page of yours is taking a rewrite at this moment; try again")


def _held_or_leased(me: Reviewer, stage: Stage | None, anew: bool) -> int | None:
    values: dict[str, Any] = {"me": me.pk, "project": me.project_id, "lease": LEASE}
    values |= {"stage": stage.pk if stage else None, "anew": uuid4() if anew else None}
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, values)
        held = cursor.fetchone()
        if held and held[0]:
            return int(held[0])
        cursor.execute(_STAGES, values)
        for (one,) in cursor.fetchall():
            cursor.execute(_LEASE, {**values, "stage": one, "token": uuid4()})
            if found := cursor.fetchone():
                return int(found[0])
    return None


def _lease(me: Reviewer, pk: int) -> ReviewItem:
    ReviewItem.objects.filter(pk=pk).update(
        held_by=me, lease=uuid4(), leased_at=Now(), lease_expires_at=Now() + LEASE
    )
    return _items().get(pk=pk)


def _items() -> "QuerySet[ReviewItem]":
    """Items with all around them, but for the large columns that no review needs."""
    found = ReviewItem.objects.select_related("stage__run__project", "prompt__parent")
    return found.defer(
        "stage__facts",
        "stage__traceback",
        "stage__run__config",
        "prompt__meta",
        "prompt__parent__meta",
        "stage__run__project__description",
    )


def take_item(*, item: ReviewItem, by: User) -> ReviewItem:
    """Lease a given rewrite, instead of the one that the person holds.

    Raises Held where somebody else holds it, or the person has a standing review of it (undo it
    first), or it is decided; MoraError where the stage is closed; Denied.
    """
    require(by, item.stage.run.project, Role.ANNOTATOR)
    me = reviewer_of(item.stage.run.project, by)
    with transaction.atomic():
        item = locked(item.pk)
        if item.stage.status != Status.WAITING:
            raise MoraError(closed_sentence(item.stage.status))
        if item.state != State.PENDING:
            raise Held(f"this rewrite takes no more reviews: it is {item.state}")
        if me.pk in item.seen_by:
            raise Held("you have reviewed or skipped this rewrite; take that back first")
        if is_held_by_another(item, me):
            raise Held("somebody else is reviewing this rewrite just now")
        return take_locked(item, me)


def take_locked(item: Any, me: Reviewer) -> ReviewItem:
    """The locked item leased to the person in place of what they hold; as it is where another
    person holds it."""
    if is_held_by_another(item, me):
        return _items().get(pk=item.pk)
    if item.in_force and item.held_by_id == me.pk:
        ReviewItem.objects.filter(pk=item.pk).update(lease_expires_at=Now() + LEASE)
        return _items().get(pk=item.pk)
    ReviewItem.objects.filter(held_by=me).update(held_by=None, lease_expires_at=Now())
    return _lease(me, item.pk)


def locked(pk: int) -> Any:
    """The item with its row locked, and `in_force`: whether its lease is, by the database's
    clock."""
    return _items().select_for_update(of=("self",)).annotate(in_force=~FREE).get(pk=pk)


def is_held_by_another(item: Any, me: Reviewer) -> bool:
    """Whether somebody else's lease of a locked item is in force."""
    return bool(item.in_force) and item.held_by_id != me.pk


def renew_lease(*, item: ReviewItem, by: User, lease: UUID) -> datetime:
    """Heartbeat: renew a lease; when it then ends. Raises Held where it is no longer the person's
    (somebody else took the rewrite, or it was reviewed or given back)."""
    changed = ReviewItem.objects.filter(
        pk=item.pk, lease=lease, held_by__user_id=by.pk, state=State.PENDING
    ).update(lease_expires_at=Now() + LEASE)
    if not changed:
        raise Held("you no longer hold this rewrite; what you wrote is kept as a draft")
    expires = ReviewItem.objects.values_list("lease_expires_at", flat=True).get(pk=item.pk)
    assert expires is not None
    return expires


def hold_item(*, item: ReviewItem, by: User, lease: UUID | None) -> UUID:
    """Heartbeat of a page: the token of its lease, renewed, or of a new one where that is over.

    A token of another page is never handed out, for this page gives its lease back as it goes.
    Raises Held where another page of the person's has the rewrite, and as `take_item` does.
    """
    with transaction.atomic():
        found = locked(item.pk)
        mine = found.in_force and found.held_by is not None and found.held_by.user_id == by.pk
        if mine and found.lease != lease:
            raise Held(ELSEWHERE)
        token = take_item(item=item, by=by).lease
    assert token is not None, "a rewrite that was taken has a lease"
    return token


def release_item(*, item: ReviewItem, by: User, lease: UUID) -> None:
    """Give a lease back, as when the person leaves the page; one that is over changes nothing."""
    ReviewItem.objects.filter(pk=item.pk, lease=lease, held_by__user_id=by.pk).update(
        held_by=None, lease_expires_at=Now()
    )


def assign_items(*, stage: Stage, items: "QuerySet[ReviewItem]", to: User | None, by: User) -> int:
    """Prefer a member for pending rewrites of a stage (None: nobody); how many were changed.

    Assigned rewrites come first in that person's queue, and last in everybody else's. Raises
    Denied below adjudicator, MoraError for somebody who may not review.
    """
    project = stage.run.project
    require(by, project, Role.ADJUDICATOR)
    if to is not None and not may(to, project, Role.ANNOTATOR):
        raise MoraError(f"{to} cannot be assigned rewrites: they may not review in {project}")
    open_items = items.filter(stage=stage, state=State.PENDING)
    if to is None:
        return open_items.update(assigned_to=None)
    reviewer = reviewer_of(project, to)
    unseen = open_items.exclude(seen_by__contains=[reviewer.pk])
    return unseen.update(assigned_to=reviewer)
