"""Says that a worker process lives, finds it work when no bell comes, and ends its work in time.

A side thread writes the heartbeat and looks for something to claim: the broker may be empty, slow
or gone, and coming back to it can take Celery half a minute. On SIGTERM the worker's slots stop,
give their claims back and end their children; what was in the middle is done again by somebody
else.
"""

import logging
import threading
from typing import Any

from celery import current_app
from celery.signals import celeryd_after_setup, worker_shutdown, worker_shutting_down
from django.db import Error, connection
from django.db.models.functions import Now

from alignment.models import Worker
from alignment.services import judges
from workers import claims, slots
from workers.logs import stage_log

log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def begin(sender: str, instance: Any, **_: Any) -> None:
    """Before the worker has reached its broker: it helps without one too."""
    threading.Thread(target=_beat, args=(instance,), name="presence", daemon=True).start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def stop(**_: Any) -> None:
    slots.stopping.set()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def leave(sender: Any, **_: Any) -> None:
    slots.end_all()
    try:
        stage_log.flush()
        Worker.objects.filter(name=sender.hostname).delete()
    except Error as error:
        log.warning("left without saying so, the database is away: %s", error)


def _beat(worker: Any) -> None:
    queues = sorted(worker.app.amqp.queues.consume_from)
    facts = {"queue": ",".join(queues), "slots": worker.concurrency}
    while not slots.stopping.wait(HEARTBEAT_SECONDS):
        try:
            Worker.objects.update_or_create(
                name=worker.hostname,
                defaults={**facts, "busy": slots.busy(), "heartbeat_at": Now()},
            )
            for queue in queues:
                if slots.busy() < worker.concurrency:
                    _look(queue, worker.pool)
        except Exception as error:  # the thread must outlive whatever is away
            log.warning("no heartbeat, or no work looked for: %r", error)
        connection.close()


def _look(queue: str, pool: Any) -> None:
    """Ring our own bell when there is work; it may ring once too often, as any bell may."""
    for task, found in (
        ("workers.try_judge", judges.next_trial(queue)),
        ("workers.help", claims.next_stage(queue)),
    ):
        if found:
            pool.apply_async(current_app.tasks[task], (found.pk,), callback=_forget)


def _forget(result: Any) -> None:
    """Nobody waits for a bell's result."""
