"""The Django project: settings, entry points, and the servers of the embedded default."""

from mora_web.celery import app as celery_app

__all__ = ["celery_app"]
