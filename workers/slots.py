"""The slots of a worker process: each thread of its pool has one, and keeps its children warm.

A slot holds at most one child with a model, since it takes the GPU, and one child for each light
engine and endpoint. A child serves the next chunk, and the next stage that wants the same engine.
"""

import json
import threading
from typing import Any

from workers.child import Child
from workers.logs import stage_log
from workers.specs import python_of

LIGHT_ENGINES = ("rules", "sandbox-fuser", "endpoint")

stopping = threading.Event()  # set once when the worker is told to end
_here = threading.local()
_all: list["Slot"] = []


class Slot:
    def __init__(self) -> None:
        self.busy = False
        self.stage_id = 0
        self._model: Child | None = None
        self._light: dict[str, Child] = {}

    def child(self, spec: dict[str, Any]) -> Child:
        """The child that holds this engine; ends another one's model first when it needs one."""
        is_light, key = spec["engine"] in LIGHT_ENGINES, json.dumps(spec, sort_keys=True)
        held = self._light.get(key) if is_light else self._model
        if held is not None and held.spec == spec and held.alive:
            return held
        if held is not None:
            held.end()
        child = Child(spec, self._log, python=python_of(spec))
        if is_light:
            self._light[key] = child
        else:
            self._model = child
        return child

    def end_children(self) -> None:
        for child in filter(None, [self._model, *self._light.values()]):
            child.end()
        self._model, self._light = None, {}

    def _log(self, line: str) -> None:
        stage_log.write(self.stage_id, line)


def mine() -> Slot:
    """The slot of the calling thread."""
    if not hasattr(_here, "slot"):
        _here.slot = Slot()
        _all.append(_here.slot)
    slot: Slot = _here.slot
    return slot


def busy() -> int:
    """How many slots of this process are at work."""
    return sum(slot.busy for slot in _all)


def end_all() -> None:
    """End the children of every slot."""
    for slot in _all:
        slot.end_children()
