"""HTTP to Django, WebSockets to Channels; sockets need our own origin and a signed-in user."""

import gc
import os
from typing import Any

import django
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.handlers.asgi import ASGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mora_web.settings")
os.environ.setdefault("DATABASE_POOL", "10")  # every request has a thread of its own
django.setup(set_prefix=False)

from alignment.routing import websocket_urlpatterns  # noqa: E402 (needs the loaded apps)


class OneThread(ASGIHandler):
    """All of a request in one thread. WhiteNoise is synchronous, so Django would go to another
    thread for it and back again for what is inside: 6 ms a request, more than most views take."""

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)
        self._middleware_chain: Any = sync_to_async(self._middleware_chain)


application = ProtocolTypeRouter(
    {
        "http": OneThread(),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)

gc.collect()
gc.freeze()  # what is loaded by now stays; without it, full collections take a tenth of all time
