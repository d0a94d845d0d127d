"""A child process that holds one engine, as its worker sees it.

Requests and replies are JSON lines over its standard input and output (workers/engines/child.py
is the other side); its standard error is the log. Between the two stands workers/launcher.py.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from alignment.method.errors import MoraError
from workers.engines.engine import told

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 600.0
Log = Callable[[str], None]


class ChildDied(Exception):
    """The child ended before it answered."""


class Stopped(Exception):
    """The caller's stop event was set; the child has been ended."""


class EngineError(Exception):
    """An engine raised something that was not foreseen; its traceback is a note of it."""

    def __init__(self, kind: str, message: str, trace: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.add_note(trace)


def defect(error: Exception) -> str:
    """What was not foreseen, in a sentence; the traceback is for the log."""
    kind = error.kind if isinstance(error, EngineError) else type(error).__name__
    return (
        f"{kind}: {told(error)}; this is a defect of the console or of a library, and the worker's "
        "log has its traceback"
    )


class Child:
    """Starts at once; `call` blocks until the engine has loaded. Not for several threads."""

    def __init__(self, spec: dict[str, Any], log: Log, *, python: str = sys.executable) -> None:
        self.spec: dict[str, Any] | None = spec
        self.log = log
        self.version = ""
        self.on_gpu = True  # until it has said otherwise
        self._frames: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._number = 0
        lifeline, self._lifeline = os.pipe()
        launcher = [sys.executable, str(ROOT / "workers" / "launcher.py"), str(lifeline)]
        try:
            self._process = subprocess.Popen(
                [*launcher, python, "-m", "workers.engines.child", json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(lifeline,),
                cwd=ROOT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        finally:
            os.close(lifeline)
        assert self._process.stdout and self._process.stderr
        for target, stream in (
            (self._read_frames, self._process.stdout),
            (self._read_log, self._process.stderr),
        ):
            threading.Thread(target=target, args=(stream,), daemon=True).start()

    def load(self, spec: dict[str, Any] | None) -> None:
        """Have another engine of the same interpreter in place of this one, or none; the next
        call waits for it. What the libraries took to import is kept."""
        self.spec, self.version = spec, ""
        self._send({"load": spec})

    def call(
        self,
        name: str,
        args: dict[str, Any],
        *,
        stop: threading.Event,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Any:
        """The engine's result. Raises MoraError, EngineError, ChildDied or Stopped."""
        if not self.version:
            self._await_ready(stop)
        self._number += 1
        self._send({"id": self._number, "call": name, "args": args})
        while True:
            frame = self._next(stop)
            if frame.get("id") != self._number:
                continue
            if "progress" not in frame:
                return self._result(frame)
            if on_progress:
                on_progress(frame["progress"])

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """End the child and all its descendants; returns when none is left."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        self._process.wait()
        with contextlib.suppress(OSError):
            assert self._process.stdin
            self._process.stdin.close()

    def _send(self, request: dict[str, Any]) -> None:
        try:
            assert self._process.stdin
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None

    def _await_ready(self, stop: threading.Event) -> None:
        frame = self._next(stop, START_SECONDS)
        if "error" in frame:
            self.end()
        ready = self._result({"result": frame.get("ready"), **frame})
        self.version, self.on_gpu = str(ready["version"]), bool(ready["on_gpu"])

    def _next(self, stop: threading.Event, seconds: float = float("inf")) -> dict[str, Any]:
        waited = 0.0
        while waited < seconds:
            try:
                frame = self._frames.get(timeout=0.05)
            except queue.Empty:
                waited += 0.05
                if stop.is_set():
                    self.end()
                    raise Stopped from None
                continue
            if frame is None:
                raise Stopped if stop.is_set() else self._died()
            return frame
        self.end()
        engine = self.spec["engine"] if self.spec else "none"
        raise MoraError(f"the engine {engine} did not load in {seconds:.0f} s")

    @staticmethod
    def _result(frame: dict[str, Any]) -> Any:
        error = frame.get("error")
        if error is None:
            return frame["result"]
        if error["kind"] == "MoraError":
            raise MoraError(error["message"])
        raise EngineError(error["kind"], error["message"], error.get("traceback", ""))

    def _died(self) -> ChildDied:
        self.end()
        status = self._process.returncode
        if status > 128:
            name = signal.Signals(status - 128).name
            hint = "; out of memory is the usual cause" if name == "SIGKILL" else ""
            return ChildDied(f"the engine's process was ended by {name}{hint}")
        return ChildDied(f"the engine's process ended with status {status}; see the stage's log")

    def _read_frames(self, stream: TextIO) -> None:
        try:
            for line in stream:
                self._frames.put(json.loads(line))
        except ValueError as error:  # killed in the middle of a frame
            self.log(f"a frame of the engine was cut off: {error}")
        finally:
            self._frames.put(None)

    def _read_log(self, stream: TextIO) -> None:
        for line in stream:
            self.log(line.rstrip("\n"))
