"""The slots of a worker process: each thread of its pool has one, and keeps its children warm.

A slot holds one model at a time, since a model takes the GPU or the memory, and one child for each
light engine and endpoint used of late. A child serves the next chunk, and the next stage that wants
the same engine. Where there is no GPU, the child of another model waits empty: to import its
libraries again would take longer than to load a small model.
"""

import json
import threading
from contextlib import suppress
from typing import Any

from workers.child import Child, ChildDied
from workers.logs import stage_log
from workers.specs import python_of

LIGHT_ENGINES = ("rules", "sandbox-fuser", "endpoint")
MOST_LIGHT = 4  # the next child ends the one that was not used for longest
EMPTYABLE = ("transformers", "reward", "trl")

stopping = threading.Event()  # set once when the worker is told to end
_here = threading.local()
_all: list["Slot"] = []


class Slot:
    def __init__(self) -> None:
        self.busy = False
        self.stage_id: int | None = None  # none while a trial is judged, whose lines no page shows
        self._models: dict[str, Child] = {}
        self._light: dict[str, Child] = {}

    def child(self, spec: dict[str, Any]) -> Child:
        """The child that holds this engine; where it needs a model, no other child holds one."""
        if spec["engine"] in LIGHT_ENGINES:
            key = json.dumps(spec, sort_keys=True)
            found = self._of(self._light, key, spec)
            self._light[key] = self._light.pop(key)  # the one used last stands last
            while len(self._light) > MOST_LIGHT:
                self._light.pop(next(iter(self._light))).end()
            return found
        for engine in [name for name in self._models if name != spec["engine"]]:
            self._empty(engine)
        return self._of(self._models, spec["engine"], spec)

    def _of(self, kept: dict[str, Child], key: str, spec: dict[str, Any]) -> Child:
        held = kept.get(key)
        if held is not None and held.alive:
            if held.spec == spec:
                return held
            if _is_emptyable(held, key):
                with suppress(ChildDied):
                    held.load(spec)
                    return held
        if held is not None:
            held.end()
        kept[key] = Child(spec, self._log, python=python_of(spec))
        return kept[key]

    def _empty(self, engine: str) -> None:
        """Take the model from a child, and end it where that may not give all memory back."""
        held = self._models[engine]
        if held.spec is None:
            return
        if held.alive and _is_emptyable(held, engine):
            with suppress(ChildDied):
                held.load(None)
                return
        del self._models[engine]
        held.end()

    def end_children(self) -> None:
        for child in [*self._models.values(), *self._light.values()]:
            child.end()
        self._models, self._light = {}, {}

    def _log(self, line: str) -> None:
        if self.stage_id is not None:
            stage_log.write(self.stage_id, line)


def _is_emptyable(child: Child, engine: str) -> bool:
    is_loading = child.spec is not None and not child.version
    return engine in EMPTYABLE and not child.on_gpu and not is_loading


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
