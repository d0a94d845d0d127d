"""The chunk ledger: claim a chunk under a lease with a fence, renew it, close it or give it back.

Every write names the fence of its claim, so a worker that was paused or cut off changes nothing
once its lease is gone. A worker claims only what its own version of the code began. Times are the
database's. Locks are taken in the order chunk, stage, run; a claim locks its stage in share mode
first but never waits for a chunk.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.method import plan
from alignment.models import Chunk, Stage, Status

LEASE_SECONDS = 8
MOST_ATTEMPTS = 3
State = Chunk.State

CLAIM = """
WITH stage AS (
    SELECT id FROM alignment_stage WHERE id = %(stage)s AND status = 'running'
      AND version = (%(versions)s::jsonb ->> kind)::int FOR SHARE
), free AS (
    SELECT c.id FROM alignment_chunk c JOIN stage s ON s.id = c.stage_id
    WHERE c.state = 'open' AND NOT EXISTS (
        SELECT 1 FROM alignment_chunk earlier
        WHERE earlier.stage_id = c.stage_id AND earlier.part < c.part
          AND earlier.state IN ('open', 'claimed'))
    ORDER BY c.part, c.index LIMIT 1 FOR UPDATE OF c SKIP LOCKED
)
UPDATE alignment_chunk c SET state = 'claimed', fence = fence + 1, owner = %(owner)s,
    claimed_at = now(), lease_expires_at = now() + make_interval(secs => %(lease)s)
FROM free WHERE c.id = free.id
RETURNING c.id, c.stage_id, c.fence, c.part, c.index, c.items, c.size
"""


class Fenced(Exception):
    """The claim is no longer ours: its lease ran out, or its work was already closed."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A chunk held by this worker. `items` are ids of prompts, in the order planned."""

    chunk: int
    stage: int
    fence: int
    part: int
    index: int
    items: list[int]
    size: int


def next_stage(queue: str) -> Stage | None:
    """The oldest stage of the queue that has something to claim, or is still to be planned."""
    ours = Q(*(Q(kind=k, version=v) for k, v in plan.VERSIONS.items()), _connector=Q.OR)
    earlier = Chunk.objects.filter(
        stage=OuterRef("stage"), part__lt=OuterRef("part"), state__in=(State.OPEN, State.CLAIMED)
    )
    free = Chunk.objects.filter(~Exists(earlier), stage=OuterRef("pk"), state=State.OPEN)
    begun = Q(status=Status.RUNNING) & Exists(free)
    live = Stage.objects.filter(Q(status=Status.QUEUED) | begun, ours, queue=queue)
    return live.order_by("queued_at").first()


def claim(stage_id: int, owner: str) -> Claim | None:
    """The stage's next open chunk, now ours; None when there is none to be had."""
    with transaction.atomic(), connection.cursor() as cursor:
        values: dict[str, str | int] = {"stage": stage_id, "owner": owner, "lease": LEASE_SECONDS}
        cursor.execute(CLAIM, {**values, "versions": json.dumps(plan.VERSIONS)})
        row = cursor.fetchone()
    if row is None:
        return None
    chunk, stage, fence, part, index, items, size = row
    return Claim(
        chunk=chunk,
        stage=stage,
        fence=fence,
        part=part,
        index=index,
        items=json.loads(items) if isinstance(items, str) else items,
        size=size,
    )


def renew(held: Claim) -> bool:
    """Extend the lease; whether the claim is still ours."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE alignment_chunk SET lease_expires_at = now() + make_interval(secs => %s)"
            " WHERE id = %s AND fence = %s AND state = 'claimed'",
            [LEASE_SECONDS, held.chunk, held.fence],
        )
        return bool(cursor.rowcount == 1)


def hold(held: Claim) -> None:
    """Lock the chunk for the rest of the transaction, if it is still ours; raises Fenced."""
    ours = Chunk.objects.select_for_update().filter(
        pk=held.chunk, fence=held.fence, state=State.CLAIMED
    )
    if not ours.exists():
        raise Fenced


def close(held: Claim, write: Callable[[], None], finish: Callable[[Stage], None]) -> None:
    """In one transaction: close the chunk, write its rows, count it, and end or mark its stage.

    `finish` ends the stage and is called by whoever closes its last chunk. Raises Fenced. Rows
    of a stage that was cancelled or failed meanwhile are kept: a retry goes on from them.
    """
    with transaction.atomic():
        hold(held)
        Chunk.objects.filter(pk=held.chunk).update(
            state=State.DONE, done_at=Now(), lease_expires_at=None, error=""
        )
        write()
        # Locks the stage: of two that close its last chunks the later one sees both done.
        Stage.objects.filter(pk=held.stage).update(done=F("done") + held.size)
        stage = Stage.objects.select_related("run__project").get(pk=held.stage)
        if stage.status == Status.RUNNING and not stage.chunks.exclude(state=State.DONE).exists():
            finish(stage)
        else:
            progress = {"stage": stage.pk, "done": stage.done, "total": stage.total}
            lifecycle.emit(stage.run_id, "progress", progress)
    settle(held.stage)


def settle(stage_id: int) -> None:
    """Let a cancelling stage end once nobody works on it."""
    stage = Stage.objects.get(pk=stage_id)
    if stage.status == Status.CANCELLING:
        with suppress(lifecycle.Stale):
            lifecycle.confirm_cancel(stage)


def give_back(held: Claim) -> None:
    """Open the chunk again, if it is still ours, and let a cancelling stage end."""
    with transaction.atomic():
        Chunk.objects.filter(pk=held.chunk, fence=held.fence, state=State.CLAIMED).update(
            state=State.OPEN, lease_expires_at=None
        )
    settle(held.stage)


def count_death(held: Claim, error: str) -> str:
    """Open the chunk again after its child died; at the third death fail it and say why.

    The sentence for the stage when the chunk has failed, else an empty one.
    """
    with transaction.atomic():
        hold(held)
        chunk = Chunk.objects.get(pk=held.chunk)
        chunk.attempts += 1
        chunk.error, chunk.lease_expires_at = error, None
        poisoned = chunk.attempts >= MOST_ATTEMPTS
        chunk.state = State.FAILED if poisoned else State.OPEN
        chunk.save(update_fields=("attempts", "error", "state", "lease_expires_at"))
    if not poisoned:
        return ""
    return f"chunk {held.part}.{held.index} was given up after {MOST_ATTEMPTS} attempts: {error}"
