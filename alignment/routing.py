"""WebSocket addresses."""

from django.urls import path

from alignment import live
from alignment.consumers import StateConsumer, results_frame, run_frame

websocket_urlpatterns = [
    path("ws/runs/<int:pk>/", StateConsumer.as_asgi(group=live.run_group, frame=run_frame)),
    path(
        "ws/projects/<int:pk>/results/",
        StateConsumer.as_asgi(group=live.project_group, frame=results_frame),
    ),
]
