"""What the embedded console is made of: the command lines that `manage.py up` supervises."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mora_web.embedded import postgres
from mora_web.embedded.member import Process
from mora_web.embedded.surroundings import SetupError

BASE = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"


def default_port() -> int:
    """PORT of the environment, else 8000. Raises SetupError when it is no port."""
    text = os.environ.get("PORT") or "8000"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise SetupError(f"PORT={text} is not a port: give a number from 1 to 65535.")
    return int(text)


def members(port: int) -> list[Process]:
    """Web first, then the workers and the sweeper, in the order in which they start."""
    web = ("uvicorn", "mora_web.asgi:application", "--host", HOST, "--port", str(port))
    # An open WebSocket must not hold a stop up.
    patience = ("--timeout-graceful-shutdown", "3")
    return [
        _python("web", "-m", *web, *patience),
        _worker("gpu", slots=1),
        _worker("cpu", slots=4),
        _python("sweeper", "manage.py", "sweep"),
    ]


def _worker(queue: str, *, slots: int) -> Process:
    pool = ("--pool", "threads", "-c", str(slots), "--prefetch-multiplier", "1")
    # Workers meet in the database, not through the broker.
    alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    name = ("-Q", queue, "-n", f"{queue}@%h", "-l", "INFO")
    return _python(queue, "-m", "celery", "-A", "mora_web", "worker", *name, *pool, *alone)


def _python(name: str, *argv: str) -> Process:
    return Process(name=name, argv=(sys.executable, *argv), env={"PYTHONUNBUFFERED": "1"})


MIGRATE = _python("migrate", "manage.py", "migrate", "--noinput")


@contextmanager
def with_database() -> Iterator[None]:
    """The console's database answers inside; an embedded one that was not running is stopped
    again. Raises SetupError."""
    if os.environ.get("DATABASE_URL"):
        yield
        return
    place = postgres.location(BASE)
    found = postgres.adopt(place)
    postgres.start(place)
    try:
        yield
    finally:
        if not found:
            postgres.stop(place)
