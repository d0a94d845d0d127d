"""The REST API, mounted at `api/v1/`: the same verbs and reads as the pages, for scripts.

Pages and API share nothing but services, queries and permissions.
"""

from alignment.api.application import api

__all__ = ["api"]
