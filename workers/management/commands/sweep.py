"""Run the sweeper: a loop over the database, not through the broker it has to rescue."""

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection

from mora_web.embedded import reserve
from workers import sweeper

log = logging.getLogger(__name__)
SWEEP_SECONDS = 1.0


class Command(BaseCommand):
    help = "Put right what crashes left, once a second, until told to end."

    def handle(self, **_: Any) -> None:
        over = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.set())
        while not over.wait(SWEEP_SECONDS):
            if settings.RESERVE is not None:
                reserve.keep(settings.RESERVE)
            try:
                sweeper.sweep()
            except (DatabaseError, InterfaceError) as error:
                log.warning("no sweep, the database is away: %s", error)
                connection.close()
        connection.close()
