"""The app that records and shows projects, prompts, runs and results."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AlignmentConfig(AppConfig):
    name = "alignment"

    def ready(self) -> None:
        from alignment.backup.artifacts import put_in_place

        # Every start of a console migrates first: what a killed restore left is completed there.
        post_migrate.connect(put_in_place, sender=self)
