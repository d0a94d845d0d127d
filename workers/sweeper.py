"""Puts right what a crash left: expired leases, unconfirmed cancels, runs between two stages,
complete reviews, and stages whose bell was lost. All of it is idempotent, so any number may sweep.
"""

from datetime import timedelta

from django.db.models import Count, Exists, F, OuterRef, Q, Sum
from django.db.models.functions import Now

from alignment import dispatch, lifecycle
from alignment.models import Chunk, Run, Stage, Status, Worker
from workers import claims

RING_AGAIN = timedelta(seconds=3)
WORKER_ALIVE = timedelta(seconds=6)
WORKER_GONE = timedelta(minutes=2)


def sweep() -> None:
    open_expired_chunks()
    confirm_cancels()
    close_reviews()
    advance_runs()
    ring_bells()
    Worker.objects.filter(heartbeat_at__lt=Now() - WORKER_GONE).delete()


def open_expired_chunks() -> None:
    """A claim whose lease ran out is open again, for whoever comes first."""
    Chunk.objects.filter(state=Chunk.State.CLAIMED, lease_expires_at__lt=Now()).update(
        state=Chunk.State.OPEN, lease_expires_at=None
    )


def confirm_cancels() -> None:
    for pk in Stage.objects.filter(status=Status.CANCELLING).values_list("pk", flat=True):
        claims.settle(pk)


def close_reviews() -> None:
    for stage in Stage.objects.filter(status=Status.WAITING).select_related("run__project"):
        lifecycle.close_review(stage)


def advance_runs() -> None:
    """Hand on the runs that were left between two stages."""
    live = Stage.objects.filter(run=OuterRef("pk"), status__in=lifecycle.LIVE)
    pending = Stage.objects.filter(run=OuterRef("pk"), status=Status.PENDING)
    for run in Run.objects.filter(Exists(pending), ~Exists(live), status=Status.RUNNING):
        lifecycle.advance(run)


def ring_bells() -> None:
    """Call idle workers to stages that have something to claim and were not rung of late."""
    idle = idle_slots()
    waiting = Stage.objects.filter(rung_at__lt=Now() - RING_AGAIN).annotate(
        free=Count("chunks", filter=Q(chunks__state=Chunk.State.OPEN))
    )
    waiting = waiting.filter(Q(status=Status.QUEUED) | Q(status=Status.RUNNING, free__gt=0))
    for stage in waiting.order_by("queued_at"):
        queue = stage.queue
        if idle.get(queue, 0) < 1:
            continue
        bells = min(max(1, stage.free), idle[queue])
        idle[queue] -= bells
        Stage.objects.filter(pk=stage.pk).update(rung_at=Now())
        for _ in range(bells):
            dispatch.ring(stage)


def idle_slots() -> dict[str, int]:
    """Free slots of the workers that are alive, per queue."""
    alive = Worker.objects.filter(heartbeat_at__gt=Now() - WORKER_ALIVE)
    counted = alive.values("queue").annotate(free=Sum(F("slots") - F("busy")))
    found: dict[str, int] = {}
    for row in counted:
        for queue in row["queue"].split(","):
            found[queue] = found.get(queue, 0) + row["free"]
    return found
