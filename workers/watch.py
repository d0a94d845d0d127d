"""Watches over a claim while its chunk is worked on: renews the lease, and stops the work when
the claim is lost, the stage was cancelled or failed, or the worker is told to end."""

import logging
import threading
import time

from django.db import connection

from alignment.models import Stage, Status
from workers import claims, slots

log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 2.0
POLL_SECONDS = 0.3


class Watch:
    """Runs from its making until `end`. `stop` is set when the work must stop."""

    def __init__(self, claim: claims.Claim) -> None:
        self.stop = threading.Event()
        self._claim = claim
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        renewed = time.monotonic()
        while not self._over.wait(POLL_SECONDS):
            try:
                due = time.monotonic() - renewed >= HEARTBEAT_SECONDS
                if due and claims.renew(self._claim):
                    renewed = time.monotonic()
                elif due or slots.stopping.is_set() or not self._wanted():
                    self.stop.set()
            except Exception as error:
                # The work goes on; the fence decides at its close whether it still counts.
                log.warning("no heartbeat, the database is away: %r", error)
                connection.close()
        connection.close()

    def _wanted(self) -> bool:
        return Stage.objects.filter(pk=self._claim.stage, status=Status.RUNNING).exists()
