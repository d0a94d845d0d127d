"""Puts right what a crash left: expired leases, unconfirmed cancels, runs between two stages and
complete reviews; and what an upgrade left, stages of another version. All of it is idempotent, so
any number may sweep.
"""

from contextlib import suppress
from datetime import timedelta

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.method.plan import VERSIONS
from alignment.models import Chunk, Run, Stage, Status, Worker
from workers import claims

WORKER_GONE = timedelta(minutes=2)
OTHERS_GONE = timedelta(seconds=20)


def sweep() -> None:
    open_expired_chunks()
    finish_cancels()
    confirm_cancels()
    close_reviews()
    advance_runs()
    start_over_outdated()
    Worker.objects.filter(heartbeat_at__lt=Now() - WORKER_GONE).delete()


def open_expired_chunks() -> None:
    """A claim whose lease ran out is open again, for whoever comes first.

    One that ends later than a lease can was given before the clock went back: it ends a lease from
    now, unless its worker lives and renews it.
    """
    lease = timedelta(seconds=claims.LEASE_SECONDS)
    claimed = Chunk.objects.filter(state=Chunk.State.CLAIMED)
    claimed.filter(lease_expires_at__lt=Now()).update(state=Chunk.State.OPEN, lease_expires_at=None)
    claimed.filter(lease_expires_at__gt=Now() + 2 * lease).update(lease_expires_at=Now() + lease)


def finish_cancels() -> None:
    """Cancel the rest of a run whose cancel was cut off between two of its stages."""
    live = Stage.objects.filter(run=OuterRef("pk"), status__in=lifecycle.LIVE)
    for run in Run.objects.filter(Exists(live), status=Status.CANCELLED):
        lifecycle.cancel(run)


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
    begun = (Status.QUEUED, Status.RUNNING)
    for run in Run.objects.filter(Exists(pending), ~Exists(live), status__in=begun):
        lifecycle.advance(run)


def start_over_outdated() -> None:
    """Begin anew what another version of its kind's code began, once no worker of that version
    has claimed anything of it for a while."""
    ours = Q(*(Q(kind=k, version=v) for k, v in VERSIONS.items()), _connector=Q.OR)
    since = Now() - OTHERS_GONE
    lately = Chunk.objects.filter(stage=OuterRef("pk")).filter(
        Q(state=Chunk.State.CLAIMED) | Q(claimed_at__gt=since)
    )
    begun = Stage.objects.filter(status__in=(Status.QUEUED, Status.RUNNING), queued_at__lt=since)
    for stage in begun.exclude(ours).filter(~Exists(lately)).select_related("run"):
        with suppress(lifecycle.Stale):
            lifecycle.start_over(stage)
