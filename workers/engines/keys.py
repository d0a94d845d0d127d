"""API keys: read from their variables, checked, and hidden in whatever leaves this process.

A server may quote the key that it was sent, in an error or in a reply, and a library may put it
into an exception's text. The child masks its frames and its log; a text that is cut is masked
before, since half a key would not be found.
"""

import logging
import os
from typing import Any

from alignment.method.errors import MoraError

SHORTEST = 6  # a shorter one is a placeholder for a server without keys, and would match words
MASK = "***"
_hidden: set[str] = set()


def read(endpoint: str, variable: str) -> str:
    """The key in an environment variable, hidden from now on. Raises MoraError."""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise MoraError(
            f"The key of endpoint {endpoint} is missing: set {variable} where the workers start."
        )
    if not (key.isascii() and key.isprintable()):
        raise MoraError(
            f"The key of endpoint {endpoint} holds a character that a request's header cannot "
            f"carry, such as a line end: set {variable} to the key alone where the workers start."
        )
    if len(key) >= SHORTEST:
        _hidden.add(key)
    return key


def masked(value: Any) -> Any:
    """The value, which JSON can hold, with every key in its texts replaced."""
    if not _hidden:
        return value
    if isinstance(value, str):
        for key in sorted(_hidden, key=len, reverse=True):  # one may hold another
            value = value.replace(key, MASK)
        return value
    if isinstance(value, dict):
        return {name: masked(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [masked(own) for own in value]
    return value


class Formatter(logging.Formatter):
    """Log lines, tracebacks among them, without keys."""

    def format(self, record: logging.LogRecord) -> str:
        return str(masked(super().format(record)))
