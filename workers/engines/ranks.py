"""Training in several processes: `accelerate launch` with a config file of the operator's list.

The child starts it and hands on what its main process says, one marked JSON object a line of its
standard output; the rest is the log. Every process is a descendant of the child, so whatever ends
the child ends them all. Data-parallel training alone: a sharded model is refused.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml

from alignment.method.errors import MoraError
from workers.engines.engine import Progress, Spec

MARK = "\x1emora "
DISTRIBUTED = ("NO", "MULTI_CPU", "MULTI_GPU", None)
ROOT = Path(__file__).resolve().parent.parent.parent


def launch(spec: Spec, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Train with the spec's accelerate config; what the main process's `train` gives."""
    config = Path(spec["launch"])
    processes = _processes(config)
    with NamedTemporaryFile("w", suffix=".json") as request:
        json.dump({"spec": spec, "args": args, "processes": processes}, request)
        request.flush()
        command = [sys.executable, "-m", "accelerate.commands.launch"]
        command += ["--config_file", str(config), "--main_process_port", "0"]
        command += ["-m", "workers.engines.ranks", request.name]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as running:
            return _follow(running, progress)


def _processes(config: Path) -> int:
    """How many processes the config asks for; raises MoraError for one that cannot be used."""
    try:
        found = yaml.safe_load(config.read_text())
        kind, processes = found.get("distributed_type"), int(found.get("num_processes", 1))
    except (OSError, AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        raise MoraError(f"{config} is no accelerate config ({error}); make one anew.") from error
    if kind not in DISTRIBUTED:
        raise MoraError(f"{config} asks for {kind}; only data-parallel training is done here.")
    return processes


def _follow(running: "subprocess.Popen[str]", progress: Progress) -> dict[str, Any]:
    """Hand on progress, and give the result; raises what the main process failed with."""
    assert running.stdout is not None
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    for line in running.stdout:
        if not line.startswith(MARK):
            sys.stderr.write(line)
            continue
        frame = json.loads(line.removeprefix(MARK))
        if "progress" in frame:
            progress(frame["progress"])
        result, error = frame.get("result", result), frame.get("error", error)
    if error is not None and error["kind"] == "MoraError":
        raise MoraError(error["message"])
    if running.wait() or result is None:
        told = error["message"] if error else f"status {running.returncode}"
        raise RuntimeError(f"accelerate launch failed ({told}); see the stage's log")
    return result


def main(path: str) -> None:
    """One process of the training: only the main one speaks."""
    from workers.engines import child

    request = json.loads(Path(path).read_text())
    spec = request["spec"]
    child.set_environment(spec.get("threads", 2))
    import torch
    from accelerate import PartialState

    from workers.engines import sampler, trainer

    torch.set_num_threads(spec.get("threads", 2))
    sampler.make_deterministic()
    here = PartialState(cpu=not torch.cuda.is_available())

    def emit(frame: dict[str, Any]) -> None:
        if here.is_main_process:
            sys.stdout.write(f"{MARK}{json.dumps(frame)}\n")
            sys.stdout.flush()

    try:
        if here.num_processes != request["processes"]:
            raise MoraError(
                f"accelerate started {here.num_processes} of {request['processes']} processes; "
                "use MULTI_GPU in its config (on CPUs too), MULTI_CPU needs MPI."
            )
        model = Path(spec["model"])
        result = trainer.train(
            model, **request["args"], progress=lambda mark: emit({"progress": mark})
        )
    except Exception as error:
        traceback.print_exc()
        emit({"error": child.describe(error)})
        sys.stderr.flush()
        os._exit(1)
    emit({"result": result})


if __name__ == "__main__":
    main(sys.argv[1])
