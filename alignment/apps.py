"""The app that records and shows projects, prompts, runs and results."""

from django.apps import AppConfig


class AlignmentConfig(AppConfig):
    name = "alignment"
