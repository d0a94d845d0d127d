"""The Celery application. Messages are doorbells: PostgreSQL holds the record of all work."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES["filesystem"] = "mora_web.embedded.file_broker:Transport"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mora_web.settings")

app = Celery("mora_web")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["workers"])
