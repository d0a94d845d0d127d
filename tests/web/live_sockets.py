"""Sockets and the live feed in a test: an event loop of its own, ended with all that runs in it.

Channels' own communicator needs Daphne, so this talks ASGI itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.contrib.auth.models import AnonymousUser, User

from alignment import live
from alignment.routing import websocket_urlpatterns

application = URLRouter(websocket_urlpatterns)


def in_a_loop(body: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await body()
        finally:
            feed = live._feeds.get(asyncio.get_running_loop())
            if feed is not None:
                feed.cancel()
                await asyncio.wait([feed])

    async_to_sync(whole)()


class Socket:
    """A browser's end of a socket. `said` is how its opening was answered."""

    def __init__(self, path: str, user: User | AnonymousUser) -> None:
        path, _, query = path.partition("?")
        scope = {"type": "websocket", "path": path, "query_string": query.encode(), "user": user}
        self._ends = ApplicationCommunicator(application, {**scope, "headers": []})

    async def open(self) -> bool:
        await self._ends.send_input({"type": "websocket.connect"})
        return (await self.next(10))["type"] == "websocket.accept"

    async def next(self, seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = await self._ends.receive_output(seconds)
        return found

    async def frame(self, text: str, seconds: float = 10) -> str:
        """The first frame that holds the text."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            found = str((await self.next(left))["text"])
            if text in found:
                return found
        raise AssertionError(f"no frame with {text!r} in {seconds} s")

    async def close(self) -> None:
        await self._ends.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._ends.wait(5)


@asynccontextmanager
async def socket(path: str, user: User) -> AsyncIterator[Socket]:
    opened = Socket(path, user)
    assert await opened.open(), path
    yield opened
    await opened.close()


async def refused(path: str, user: User | AnonymousUser) -> bool:
    return not await Socket(path, user).open()
