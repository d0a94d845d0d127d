"""Puts right what a crash left: expired leases, unconfirmed cancels, runs between two stages and
complete reviews. All of it is idempotent, so any number may sweep.
"""

from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.models import Chunk, Run, Stage, Status, Worker
from workers import claims

WORKER_GONE = timedelta(minutes=2)


def sweep() -> None:
    open_expired_chunks()
    confirm_cancels()
    close_reviews()
    advance_runs()
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
