"""Keeps what children write to standard error as rows, so that any web process can show it.

Lines are buffered and written twice a second by one thread a process; those of the last half
second are lost when the worker is killed.
"""

import contextlib
import threading
import time

from django.db import DatabaseError, connection

from alignment.models import LogLine
from workers import store

FLUSH_SECONDS = 0.5
LONGEST = 2000
MOST_BUFFERED = 10_000


class StageLog:
    def __init__(self) -> None:
        self._lines: list[LogLine] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def write(self, stage_id: int, text: str) -> None:
        """Keep a line of a stage; more than the buffer holds is dropped from its start."""
        text = store.storable(text)[:LONGEST]
        with self._lock:
            self._lines.append(LogLine(stage_id=stage_id, text=text))
            del self._lines[:-MOST_BUFFERED]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="stage log", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            store.insert(lines)
        except DatabaseError:
            with self._lock:
                self._lines = lines + self._lines
            with contextlib.suppress(DatabaseError):
                connection.close()

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            self.flush()
            connection.close()


stage_log = StageLog()
