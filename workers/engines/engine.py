"""What an engine is to the child's main loop: its version and the calls it answers.

Each engine's module has `load(spec) -> Engine`; heavy imports stay inside that module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Progress = Callable[[dict[str, Any]], None]
Call = Callable[[dict[str, Any], Progress], Any]
Spec = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A loaded engine. A call gets its arguments and `progress`, and returns what JSON can hold."""

    version: str
    calls: dict[str, Call]
