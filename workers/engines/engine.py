"""What an engine is to the child's main loop: its version and the calls it answers.

Each engine's module has `load(spec) -> Engine`; heavy imports stay inside that module.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

Progress = Callable[[dict[str, Any]], None]
Call = Callable[[dict[str, Any], Progress], Any]
Spec = dict[str, Any]
LONGEST_WORDS = 300  # characters of an error's
Alternatives = list[dict[str, Any]]  # of one token: token and logprob


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A loaded engine. A call gets its arguments and `progress`, and returns what JSON can hold."""

    version: str
    calls: dict[str, Call]


def told(error: Exception) -> str:
    """An error's own words in one line, for a sentence about it."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= LONGEST_WORDS else f"{words[:LONGEST_WORDS]}..."


def likely(pairs: Iterable[tuple[str, float | None]]) -> Alternatives:
    """A token's alternatives with their log-probabilities, at most 0.

    One of probability 0 is left out: JSON has no infinity, and it would not count.
    """
    return [
        {"token": token, "logprob": min(value, 0.0)}
        for token, value in pairs
        if value is not None and isfinite(value)
    ]
