"""The queue of a review desk: who holds which rewrite, and until when.

A lease is a row's: at most one person holds an item, and a person holds one item of a project. It
ends with a review, by being given back, or by the database's clock. Everybody sees an item once.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from alignment.method.errors import MoraError
from alignment.models import Project, Reviewer, ReviewItem, Role, Stage, Status
from alignment.permissions import require
from alignment.reviewing import closed_sentence

State = ReviewItem.State
LEASE = timedelta(minutes=10)
FREE = Q(lease_expires_at=None) | Q(lease_expires_at__lte=Now()) | Q(held_by=None)
# The first free item that a person has not seen, a group of items alike in who saw them at a
# time: as many index probes as there are groups, however many items a group has. Begun items
# come before fresh ones.
_SEEK = """
WITH RECURSIVE alike AS (
  (SELECT seen_by FROM alignment_reviewitem WHERE stage_id = %(stage)s AND {those}
   ORDER BY seen_by DESC LIMIT 1)
  UNION ALL
  SELECT (SELECT i.seen_by FROM alignment_reviewitem i WHERE i.stage_id = %(stage)s AND {those}
    AND i.seen_by < a.seen_by ORDER BY i.seen_by DESC LIMIT 1)
  FROM alike a WHERE a.seen_by IS NOT NULL
)
SELECT found.id FROM alike a CROSS JOIN LATERAL (
  SELECT i.id FROM alignment_reviewitem i WHERE i.stage_id = %(stage)s AND {those}
    AND i.seen_by = a.seen_by
    AND (i.held_by_id IS NULL OR i.lease_expires_at IS NULL OR i.lease_expires_at <= now())
  ORDER BY i.id LIMIT 1 FOR UPDATE SKIP LOCKED
) found WHERE a.seen_by IS NOT NULL AND NOT a.seen_by @> ARRAY[%(me)s]::bigint[] LIMIT 1
"""
_ASSIGNED = """
SELECT i.id FROM alignment_reviewitem i WHERE i.assigned_to_id = %(me)s AND i.state = 'pending'
  AND i.stage_id = %(stage)s
  AND (i.held_by_id IS NULL OR i.lease_expires_at IS NULL OR i.lease_expires_at <= now())
ORDER BY i.id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_WAYS = (
    _ASSIGNED,
    _SEEK.format(those="state = 'pending' AND assigned_to_id IS NULL"),
    _SEEK.format(those="state = 'pending' AND assigned_to_id IS NOT NULL"),
)


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


def next_item(*, project: Project, by: User, stage: Stage | None = None) -> ReviewItem | None:
    """Lease the next rewrite that the person is to review, or None when there is none for them.

    The one they hold already is given again, with its lease renewed and its token kept. Then those
    assigned to them, then those of nobody, then those assigned to others; begun ones first.
    stage: of this review stage only. The item's `lease` is what submitting it takes. Raises Denied.
    """
    require(by, project, Role.ANNOTATOR)
    me = reviewer_of(project, by)
    for _ in range(3):
        try:
            with transaction.atomic():
                return _held(me, stage) or _leased(me, _open_stages(me, stage))
        except IntegrityError:  # the same person asked twice at once; now they hold one
            continue
    raise MoraError("another page of yours is taking a rewrite at this moment; try again")


def _open_stages(me: Reviewer, stage: Stage | None) -> list[int]:
    """The waiting review stages that hold something for the person, by their counters."""
    found = Stage.objects.filter(
        run__project=me.project_id, kind="review", status=Status.WAITING
    ).filter(**({"pk": stage.pk} if stage else {}))
    rows = found.order_by("pk").values_list("pk", F("total") - F("done") - F("disputed"))
    mine = dict(me.tallies.filter(stage__in=[pk for pk, _ in rows]).values_list("stage", "open"))
    return [pk for pk, left in rows if left > mine.get(pk, 0)]


def _held(me: Reviewer, stage: Stage | None) -> ReviewItem | None:
    """The item that the person holds, its lease renewed; one that is of no use is given back."""
    item = _items().filter(held_by=me).select_for_update(of=("self",)).first()
    if item is None:
        return None
    usable = item.state == State.PENDING and me.pk not in item.seen_by
    if not usable or item.stage.status != Status.WAITING or (stage and stage.pk != item.stage_id):
        ReviewItem.objects.filter(pk=item.pk).update(held_by=None, lease_expires_at=Now())
        return None
    ReviewItem.objects.filter(pk=item.pk).update(lease_expires_at=Now() + LEASE)
    return _items().get(pk=item.pk)


def _leased(me: Reviewer, stages: list[int]) -> ReviewItem | None:
    for stage in stages:
        for way in _WAYS:
            with connection.cursor() as cursor:
                cursor.execute(way, {"stage": stage, "me": me.pk})
                found = cursor.fetchone()
            if found:
                return _lease(me, found[0])
    return None


def _lease(me: Reviewer, pk: int) -> ReviewItem:
    ReviewItem.objects.filter(pk=pk).update(
        held_by=me, lease=uuid4(), leased_at=Now(), lease_expires_at=Now() + LEASE
    )
    return _items().get(pk=pk)


def _items() -> "QuerySet[ReviewItem]":
    return ReviewItem.objects.select_related("stage__run__project", "prompt__parent")


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


def take_locked(item: ReviewItem, me: Reviewer) -> ReviewItem:
    """The locked item leased to the person in place of what they hold; as it is where another
    person holds it."""
    if is_held_by_another(item, me):
        return _items().get(pk=item.pk)
    if item.held_by_id == me.pk:
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


def release_item(*, item: ReviewItem, by: User, lease: UUID) -> None:
    """Give a lease back, as when the person leaves the page; one that is over changes nothing."""
    ReviewItem.objects.filter(pk=item.pk, lease=lease, held_by__user_id=by.pk).update(
        held_by=None, lease_expires_at=Now()
    )


def assign_items(*, stage: Stage, items: list[int], to: Reviewer | None, by: User) -> int:
    """Prefer a reviewer for pending rewrites of a stage (None: nobody); how many were changed.

    Assigned rewrites come first in that person's queue, and last in everybody else's. Raises
    Denied below adjudicator, MoraError for a reviewer of another project or without a login.
    """
    require(by, stage.run.project, Role.ADJUDICATOR)
    if to is not None and (to.project_id != stage.run.project_id or to.user_id is None):
        raise MoraError(f"{to} cannot be assigned rewrites of this project")
    open_items = stage.review_items.filter(pk__in=items, state=State.PENDING)
    if to is not None:
        open_items = open_items.exclude(seen_by__contains=[to.pk])
    return open_items.update(assigned_to=to)
