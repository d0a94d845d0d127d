"""The one Celery task: come and help with a stage.

A helper plans the stage if nobody has, claims its chunks until none is left, and then looks for
another stage of its queue. One wrapper handles every error of a stage's work. Bells may be lost,
doubled or late without harm: `presence` looks for work once a second.
"""

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from celery import shared_task
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg.errors import DiskFull

from alignment import lifecycle
from alignment.method.errors import MoraError
from alignment.method.plan import VERSIONS
from alignment.models import Chunk, Stage, Status
from mora_web.embedded import reserve
from workers import claims, presence, slots, stages, store, trials  # noqa: F401 (signals)
from workers.child import ChildDied, Stopped, defect
from workers.watch import Watch

log = logging.getLogger(__name__)
OWNER = f"{socket.gethostname()}/{os.getpid()}"
CANCELLED = (Status.CANCELLING, Status.CANCELLED)
DISK_FULL = "the disk of the database is full; free some space, then retry"
# SQLSTATE: no connection, shut down or starting, too many connections, deadlock, lock refused.
PASSING = ("08", "57P", "53300", "40", "55P03")
CLOSE_SECONDS = 120.0  # how long a finished chunk waits for a database that is away


@shared_task(name="workers.help", ignore_result=True)  # type: ignore[untyped-decorator]
def help(stage_id: int) -> None:
    """Work on the stage, then on any other of its queue, until there is nothing to claim."""
    slot = slots.mine()
    slot.busy = True
    try:
        stage = Stage.objects.filter(pk=stage_id).first()
        while stage is not None and not slots.stopping.is_set():
            help_with(stage, slot)
            stage = claims.next_stage(stage.queue)
    except (OperationalError, InterfaceError) as error:
        log.warning("the database is away, work goes on when it is back: %s", error)
    finally:
        slot.busy = False
        connection.close()


def help_with(stage: Stage, slot: slots.Slot) -> None:
    """Plan the stage if it is queued, then claim and work on its chunks."""
    if stage.status == Status.QUEUED:
        begin(stage)
    while not slots.stopping.is_set():
        trials.work_off(slot, stage.queue)
        claim = claims.claim(stage.pk, f"{OWNER}/{threading.get_ident()}")
        if claim is None:
            break
        work_on(claim, slot)
    if Stage.objects.filter(pk=stage.pk, status__in=CANCELLED).exists():
        slot.end_children()  # a chunk that was finished meanwhile has left them warm


def begin(stage: Stage) -> None:
    """Plan a queued stage and set it running; where it has no work left, end it."""
    try:
        with transaction.atomic():
            stage = (
                Stage.objects.select_for_update().select_related("run__project").get(pk=stage.pk)
            )
            if stage.status != Status.QUEUED or stage.version != VERSIONS[stage.kind]:
                return
            if not stage.chunks.exists():
                stages.plan(stage)
            lifecycle.move(stage, Status.RUNNING)
            if not stage.chunks.exclude(state=Chunk.State.DONE).exists():
                stages.finish(stage)
    except Exception as error:
        if _is_away(error):
            raise
        fail(stage.pk, error)


def work_on(claim: claims.Claim, slot: slots.Slot) -> None:
    """Do a claimed chunk and close it, whatever happens."""
    stage = Stage.objects.select_related("run__project").get(pk=claim.stage)
    slot.stage_id = stage.pk
    try:
        with Watch(claim) as watch:
            job = stages.Job(stage=stage, claim=claim, slot=slot, stop=watch.stop)
            write = stages.HANDLERS[stage.kind].work(job)
            _close(claim, write)
    except (claims.Fenced, Stopped):
        slot.end_children()
        _give_back(claim)
    except ChildDied as death:
        if watch.stop.is_set():
            _give_back(claim)
        else:
            with suppress(claims.Fenced):
                if sentence := claims.count_death(claim, str(death)):
                    fail(stage.pk, MoraError(sentence))
    except Exception as error:
        if isinstance(error, OperationalError | InterfaceError):
            slot.end_children()  # one may be in the middle of a call that nobody waits for
        if not _is_away(error):
            fail(stage.pk, error)
        _give_back(claim)
        if _is_away(error):
            raise


def _close(claim: claims.Claim, write: Callable[[], None]) -> None:
    _patiently(lambda: claims.close(claim, write, stages.finish), CLOSE_SECONDS)


def _give_back(claim: claims.Claim) -> None:
    """Open the chunk again, else its lease has to run out first."""
    _patiently(lambda: claims.give_back(claim), claims.LEASE_SECONDS)


def _patiently(call: Callable[[], None], seconds: float) -> None:
    """Call again and again while the database is away."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            over = time.monotonic() > deadline or slots.stopping.is_set()
            if over or not _is_away(error):
                raise
            time.sleep(0.2)


def _is_away(error: Exception) -> bool:
    """Whether the database, or its attention, comes back by itself; else it answers, and would
    answer so again."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code: str | None = getattr(error.__cause__, "sqlstate", None)
    return code is None or code.startswith(PASSING)


def fail(stage_id: int, error: Exception) -> None:
    """Fail the stage with its cause, and where that is a defect with its traceback."""
    if isinstance(error.__cause__, DiskFull):
        if settings.RESERVE is not None:
            reserve.give_up(settings.RESERVE)  # to be written down, the failure takes a little disk
        error = MoraError(DISK_FULL)
    stage = Stage.objects.get(pk=stage_id)
    expected = isinstance(error, MoraError)
    trace = "" if expected else store.storable("".join(traceback.format_exception(error)))
    reason = store.storable(str(error) if expected else defect(error))
    log.error("%s failed: %s", stage, trace or reason)
    try:
        lifecycle.fail(stage, reason, trace)
    except lifecycle.Stale:
        claims.settle(stage_id)
