"""Says that a worker process lives, and ends its work in time when it is told to end.

A side thread writes the heartbeat. On SIGTERM the worker's slots stop, give their claims back and
end their children; what was in the middle is done again by somebody else.
"""

import logging
import threading
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from alignment.models import Worker
from workers import slots
from workers.logs import stage_log

log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1.0


@worker_ready.connect  # type: ignore[untyped-decorator]
def begin(sender: Any, **_: Any) -> None:
    queues = ",".join(sorted(queue.name for queue in sender.task_consumer.queues))
    facts = {"queue": queues, "slots": sender.controller.concurrency}
    threading.Thread(
        target=_beat, args=(sender.hostname, facts), name="presence", daemon=True
    ).start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def stop(**_: Any) -> None:
    slots.stopping.set()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def leave(sender: Any, **_: Any) -> None:
    slots.end_all()
    try:
        stage_log.flush()
        Worker.objects.filter(name=sender.hostname).delete()
    except DatabaseError as error:
        log.warning("left without saying so, the database is away: %s", error)


def _beat(name: str, facts: dict[str, Any]) -> None:
    while not slots.stopping.wait(HEARTBEAT_SECONDS):
        try:
            Worker.objects.update_or_create(
                name=name, defaults={**facts, "busy": slots.busy(), "heartbeat_at": Now()}
            )
        except DatabaseError as error:
            log.warning("no heartbeat, the database is away: %s", error)
        connection.close()
