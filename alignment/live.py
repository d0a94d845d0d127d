"""The live feed of a web process: one LISTEN connection, fanned out to sockets over the channel
layer.

On each wake-up it reads how far the runs named have come, and every 5 s and after reconnecting how
far all have; those past its cursor are announced to their groups. An announcement carries no
state: sockets read that from the rows. Nothing is lost while the database is away.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from channels.layers import get_channel_layer
from django.db import connection

from alignment.lifecycle import CHANNEL

log = logging.getLogger(__name__)
POLL_SECONDS = 5.0
RETRY_SECONDS = 0.5
RECENT = "ended_at IS NULL OR ended_at > now() - interval '1 minute'"
_feeds: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]]" = WeakKeyDictionary()


def run_group(run_id: int) -> str:
    return f"run_{run_id}"


def project_group(project_id: int) -> str:
    return f"project_{project_id}"


def start() -> None:
    """Follow the events from now on, if this process does not yet."""
    loop = asyncio.get_running_loop()
    task = _feeds.get(loop)
    if task is None or task.done():
        _feeds[loop] = loop.create_task(follow(), name="live feed")


async def follow() -> None:
    """Announce what moves, for as long as the process lives."""
    cursor: dict[int, int] = {}
    while True:
        try:
            await _listen(cursor)
        except (psycopg.Error, OSError) as error:
            log.warning("the live feed lost the database and tries again: %s", error)
            await asyncio.sleep(RETRY_SECONDS)


async def _listen(cursor: dict[int, int]) -> None:
    async with await psycopg.AsyncConnection.connect(**_parameters(), autocommit=True) as listener:
        await listener.execute(f"LISTEN {CHANNEL}")
        await _announce(await _moved(listener, cursor, None))
        while True:
            named = await _next_runs(listener)
            await _announce(await _moved(listener, cursor, named or None))


async def _next_runs(listener: "psycopg.AsyncConnection[Any]") -> set[int]:
    """The runs named by the notifications that have come; none after 5 s of silence."""
    named: set[int] = set()
    async for notice in listener.notifies(timeout=POLL_SECONDS, stop_after=1):
        with suppress(ValueError):  # anyone may notify; a payload that is no run id names none
            named.add(int(notice.payload))
    return named


async def _moved(
    listener: "psycopg.AsyncConnection[Any]", cursor: dict[int, int], named: set[int] | None
) -> list[tuple[int, int]]:
    """Runs past the cursor, as (run id, project id), of those named or of all that are not over;
    moves the cursor up to them."""
    which, values = (RECENT, None) if named is None else ("id = ANY(%s)", [list(named)])
    rows = await listener.execute(
        f"SELECT id, project_id, seq FROM alignment_run WHERE {which}", values
    )
    found = []
    async for run_id, project_id, seq in rows:
        if seq > cursor.get(run_id, 0):
            found.append((run_id, project_id))
            cursor[run_id] = seq
    return found


async def _announce(moved: Iterable[tuple[int, int]]) -> None:
    layer = get_channel_layer()
    assert layer is not None, "CHANNEL_LAYERS names no default layer"
    for run_id, project_id in moved:
        for group in (run_group(run_id), project_group(project_id)):
            await layer.group_send(group, {"type": "moved"})


def _parameters() -> dict[str, Any]:
    """What Django connects with, for a plain asynchronous connection."""
    parameters = connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    return {**parameters, "application_name": "mora live feed"}
