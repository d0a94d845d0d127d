"""What a measurement runs in: a database of its own, the real web process, and what machine."""

import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

BASE = Path(__file__).resolve().parent.parent
DATABASE = f"mora_bench_{os.getpid()}"  # two may measure at once on one server


@contextmanager
def database() -> Iterator[None]:
    """An empty database on the server of DATABASE_URL, else on an embedded one under var/bench,
    migrated and set as this process's own; dropped at the end."""
    os.environ["MORA_VAR"] = os.environ.get("MORA_BENCH_VAR") or str(BASE / "var" / "bench")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mora_web.settings")
    from mora_web.embedded import postgres

    server = os.environ.get("DATABASE_URL")
    place = None if server else postgres.location(BASE)
    if place is not None and not postgres.adopt(place):
        postgres.start(place)
    url = server or (place.url if place else "")
    try:
        _recreate(url)
        os.environ["DATABASE_URL"] = _beside(url)
        import django
        from django.core.management import call_command
        from django.db import connection

        django.setup()
        call_command("migrate", verbosity=0)
        yield
        connection.close()
        _drop(url)
    finally:
        os.environ.pop("DATABASE_URL", None)
        if server:
            os.environ["DATABASE_URL"] = server
        if place is not None:
            postgres.stop(place)


def _beside(url: str) -> str:
    """The URL with the measurement's own database."""
    parts = {**conninfo_to_dict(url), "dbname": DATABASE}
    user = quote(str(parts.pop("user", "")), safe="")
    password = quote(str(parts.pop("password", "")), safe="")
    name = parts.pop("dbname")
    rest = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in parts.items())
    return f"postgresql://{user}{':' + password if password else ''}@/{name}?{rest}"


def _recreate(url: str) -> None:
    _drop(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _drop(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(DATABASE)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


@contextmanager
def web() -> Iterator[int]:
    """The port of a web process as `manage.py up` starts it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    argv = ["-m", "uvicorn", "mora_web.asgi:application", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [sys.executable, *argv, "--port", str(port), "--log-level", "warning"], cwd=BASE
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the web process ended"
        try:
            urlopen(f"http://127.0.0.1:{port}/sign-in/", timeout=5)
            return
        except URLError:
            time.sleep(0.1)
    raise AssertionError("the web process never answered")


def machine() -> dict[str, Any]:
    """Where and how busy: a figure means little without it."""
    info = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (info.read_text() if info.exists() else "").splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }
