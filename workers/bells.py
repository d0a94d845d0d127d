"""The worker's end of the broker, which is a doorbell: whatever it says, the worker goes on.

Celery ends a worker, and the work of all its slots, on a message that is none or on a broker that
answers with an error. Here such a message is dropped, and such a broker is tried again after a
while; `presence` finds work in the meantime.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from celery.worker import consumer

log = logging.getLogger(__name__)
PAUSE_SECONDS = 1.0


class Consumer(consumer.Consumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A Redis that became read-only or a queue of other properties is no lost connection.
        self.connection_errors = (Exception,)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        time.sleep(PAUSE_SECONDS)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        time.sleep(PAUSE_SECONDS)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **kwargs)

        def take(message: Any) -> None:
            try:
                handle(message)
            except Exception as error:
                log.warning("a message that is no bell is dropped: %r", error)
                message.reject_log_error(log, self.connection_errors)

        return take
