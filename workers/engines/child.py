"""The child process: holds one engine and answers requests, one JSON object a line.

`python -m workers.engines.child '<spec as JSON>'`. The request {"load": spec} replaces the engine,
{"load": null} lets it go and keeps what was imported. Frames go to the stdout that it was started
with; prints of libraries and the log go to stderr. It ends at once when its stdin does. Who
starts it, watches it and ends its descendants is the worker's business.
"""

import errno
import gc
import importlib
import json
import logging
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from alignment.method.errors import MoraError
from workers.engines import keys
from workers.engines.engine import Engine, Spec

ENGINES = {
    "transformers": "workers.engines.sampler",
    "vllm": "workers.engines.vllm_sampler",
    "endpoint": "workers.engines.endpoint",
    "reward": "workers.engines.reward",
    "vllm-reward": "workers.engines.vllm_reward",
    "rules": "workers.engines.judges",
    "trl": "workers.engines.trainer",
    "sandbox-builder": "workers.sandbox.policy",
    "sandbox-fuser": "workers.sandbox.fuser",
}
# As the system words it, since each library wraps it in an error of its own: no space left, over
# the quota, over the largest size of a file, read-only, a broken disk.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
NOT_WRITTEN = tuple(map(os.strerror, UNWRITABLE))
Emit = Callable[[dict[str, Any]], None]

log = logging.getLogger("mora.child")


def main(argument: str) -> None:
    """Serve until stdin ends. Never returns: the interpreter's own shutdown can hang on threads."""
    emit = _own_stdout()
    requests = _read_stdin()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(keys.Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level="INFO")
    spec = json.loads(argument)
    set_environment(spec.get("threads", 2))
    engine: Engine | None = _loaded(spec, emit)
    while True:
        request = _parsed(requests.get())
        if "load" not in request:
            answer(engine, request, emit)
            continue
        engine = None
        gc.collect()  # the engine before gives its memory back first
        engine = _loaded(request["load"], emit) if request["load"] else None


def _loaded(spec: Spec, emit: Emit) -> Engine:
    """The engine, which is then said to be ready; where it cannot be had, that is the end."""
    try:
        engine = _load(spec)
    except Exception as error:
        emit({"error": describe(error)})
        os._exit(1)
    ready = {"engine": spec["engine"], "version": engine.version, "on_gpu": _has_gpu()}
    emit({"ready": ready})
    return engine


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def _has_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def answer(engine: Engine | None, request: dict[str, Any], emit: Emit) -> None:
    """Run one request and emit its progress frames and its result or error."""
    number = request.get("id")
    try:
        calls = engine.calls if engine else {}
        call = calls.get(request["call"])
        if call is None:
            known = ", ".join(sorted(calls))
            raise MoraError(f"The engine has no call {request['call']!r}; use one of: {known}.")
        result = call(request["args"], lambda mark: emit({"id": number, "progress": mark}))
        emit({"id": number, "result": result})
    except Exception as error:
        log.exception("request %s failed", number)
        emit({"id": number, "error": describe(error)})


def describe(error: Exception) -> dict[str, str]:
    """An error as the worker reads it; the kind tells an expected failure from a defect."""
    trace = "".join(traceback.format_exception(error))
    if cause := next((text for text in NOT_WRITTEN if text in trace), None):
        remedy = "free some space" if "Read-only" not in cause else "make the disk writable"
        error = MoraError(f"Files could not be written ({cause}); {remedy}, then retry.")
    kind = "MoraError" if isinstance(error, MoraError) else type(error).__name__
    return {"kind": kind, "message": str(error), "traceback": trace}


def _own_stdout() -> Emit:
    """Keep the real stdout for frames and send file descriptor 1 to stderr."""
    sys.stdout.flush()
    frames = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)

    def emit(frame: dict[str, Any]) -> None:
        text = json.dumps(keys.masked(frame), allow_nan=False)
        try:
            frames.write(text + "\n")
            frames.flush()
        except BrokenPipeError:
            os._exit(0)  # nobody is left to read

    return emit


def _read_stdin() -> queue.SimpleQueue[bytes]:
    """Requests as they arrive. A thread, so that end-of-file ends a call that is under way."""
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            requests.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return requests


def set_environment(threads: int) -> None:
    """Offline, few threads, deterministic; libraries read these when they are imported.

    A waiting OpenMP thread must sleep: where it spins on a core that something else needs, a
    batch of 2 s was seen to take 22 s.
    """
    os.environ.update(
        HF_HUB_OFFLINE="1",
        HF_DATASETS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        TQDM_DISABLE="1",
        OMP_NUM_THREADS=str(threads),
        OMP_WAIT_POLICY="PASSIVE",
        MKL_NUM_THREADS=str(threads),
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
    )


def _load(spec: Spec) -> Engine:
    name = spec["engine"]
    if name not in ENGINES:
        raise MoraError(f"There is no engine {name!r}; use one of: {', '.join(sorted(ENGINES))}.")
    engine: Engine = importlib.import_module(ENGINES[name]).load(spec)
    return engine


if __name__ == "__main__":
    main(sys.argv[1])
