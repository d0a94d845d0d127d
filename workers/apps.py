"""The app that runs stages. It has no models of its own; it brings the worker commands."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "workers"
