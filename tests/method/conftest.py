"""The properties are checked without a time limit per example: the machine may be busy."""

from hypothesis import settings

settings.register_profile("method", deadline=None)
settings.load_profile("method")
