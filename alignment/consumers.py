"""Sockets of the live pages: each sends the current state of its page as HTML, at once and
whenever it has moved.

A socket has one slot, never a queue: what moves while a frame is made is in the next frame, and
no socket gets more than four frames a second. Membership is checked on connecting and again for
every frame. Frames are the partials of the pages.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError
from django.template.loader import render_to_string

from alignment import live
from alignment.models import Project, Role, Run
from alignment.permissions import may
from alignment.queries import results_page, runs
from alignment.queries.side_bar import side_bar

log = logging.getLogger(__name__)
FRAME_SECONDS = 0.25
REREAD_SECONDS = 5.0
NOT_ALLOWED = 4403
BROKEN = 1011

Query = dict[str, str]
# A frame and what it shows; no frame where that is what was shown last.
Frame = tuple[str | None, object]


class Gone(Exception):
    """What the socket shows is gone, or its user may no longer see it."""


def run_frame(user: User, run_id: int, query: Query, shown: object) -> Frame:
    """The state of a run. One that moves no more is sent once, until it is taken up again.

    The side bar, whose counts follow the run's status, comes with a frame that changes it.
    """
    run = Run.objects.select_related("project").filter(pk=run_id).first()
    _admit(user, run.project if run else None)
    assert run is not None
    if shown == (run.seq, "still", run.status):
        return None, shown
    state = runs.run_state(run_id)
    may_run = may(user, run.project, Role.RESEARCHER)
    frame: str = render_to_string(
        "partials/_run.html", {"state": state, "may_run": may_run, "oob": True}
    )
    if (
        not isinstance(shown, tuple)
        or shown[2] != state.run.status
        or state.run.status == "waiting"
    ):
        frame += _side_bar(user, run.project, "runs")
    pace = "live" if state.live else "still"
    return frame, (state.run.seq, pace, state.run.status)


def results_frame(user: User, project_id: int, query: Query, shown: object) -> Frame:
    """A project's Pareto page on the axes that the address names, when its points are others."""
    project = Project.objects.filter(pk=project_id).first()
    _admit(user, project)
    assert project is not None
    newest = results_page.version(project)
    if shown == newest:
        return None, shown
    page = results_page.results_page(project, query)
    frame = render_to_string("partials/_results.html", {"page": page, "oob": True})
    return frame + _side_bar(user, project, "results"), newest


def _side_bar(user: User, project: Project, current: str) -> str:
    bar = {**side_bar(user, project), "current": current, "oob": "morph"}
    return render_to_string("partials/_nav.html", bar)


def _admit(user: User, project: Project | None) -> None:
    """By the rows as they are now. Raises Gone."""
    known = User.objects.filter(pk=user.pk, is_active=True).first()
    if known is None or project is None or not may(known, project, Role.VIEWER):
        raise Gone


class StateConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A socket that shows one thing: `group` announces it, `frame` renders it."""

    def __init__(
        self,
        *,
        group: Callable[[int], str],
        frame: Callable[[User, int, Query, object], Frame],
    ) -> None:
        super().__init__()
        self._group_of, self._frame_of = group, frame
        self._moved = asyncio.Event()
        self._shown: object = None
        self._pump: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self._pk = int(self.scope["url_route"]["kwargs"]["pk"])
        self._group = self._group_of(self._pk)
        await self.channel_layer.group_add(self._group, self.channel_name)
        try:
            first = await self._frame()
        except Gone:
            await self.close(NOT_ALLOWED)
            return
        await self.accept()
        live.start()
        self._pump = asyncio.create_task(self._send_states(first))

    async def disconnect(self, code: int) -> None:
        if self._pump is not None:
            self._pump.cancel()
        await self.channel_layer.group_discard(self._group, self.channel_name)

    async def moved(self, message: dict[str, Any]) -> None:
        self._moved.set()

    async def _send_states(self, frame: str | None) -> None:
        """Send the first frame, then one whenever something has moved, and every 5 s."""
        try:
            while True:
                if frame is not None:
                    await self.send(text_data=frame)
                await asyncio.sleep(FRAME_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), REREAD_SECONDS)
                self._moved.clear()
                frame = await self._frame_or_none()
        except Gone:
            await self.close(NOT_ALLOWED)
        except Exception:
            log.exception("a live page broke off")
            await self.close(BROKEN)

    async def _frame_or_none(self) -> str | None:
        try:
            return await self._frame()
        except (OperationalError, InterfaceError) as error:
            log.warning("no frame, the database is away: %s", error)
            return None

    async def _frame(self) -> str | None:
        # Not on the one thread that thread-sensitive work shares: no slow frame holds up others.
        render = database_sync_to_async(self._frame_of, thread_sensitive=False)
        found: Frame = await render(self.scope["user"], self._pk, self._query(), self._shown)
        frame, self._shown = found
        return frame

    def _query(self) -> Query:
        given = parse_qs(self.scope["query_string"].decode("ascii", "replace"))
        return {name: values[-1] for name, values in given.items()}
