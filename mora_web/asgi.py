"""HTTP to Django, WebSockets to Channels; sockets need our own origin and a signed-in user."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mora_web.settings")
os.environ.setdefault("DATABASE_POOL", "10")  # every request has a thread of its own
django_application = get_asgi_application()

from alignment.routing import websocket_urlpatterns  # noqa: E402 (needs the loaded apps)

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)
