"""Training in two processes on the CPU by `accelerate launch`: the gates hold, a kill ends both
and the next training resumes. And full fine-tuning, which resumes alike."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignment.method.errors import MoraError
from tests.engines.conftest import RawChild
from tests.engines.test_trainer import CONFIG, STEPS, arguments
from workers.child import Child, ChildDied, Stopped
from workers.engines import ranks

# Without a GPU its processes take the CPU and speak by gloo; MULTI_CPU would want MPI.
ACCELERATE = """
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
machine_rank: 0
main_training_function: main
mixed_precision: 'no'
num_machines: 1
num_processes: 2
rdzv_backend: static
same_network: true
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "two-cpus.yaml"
    path.write_text(ACCELERATE)
    return path


def processes_of(work: Path) -> list[int]:
    """Living processes whose command names the training's own request file."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(work) in (entry / "environ").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.xdist_group("trainer")
def test_two_processes_train_one_policy_and_resume_after_a_kill(
    tiny_policy: Path, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORA_MARK_OF_THIS_TEST", str(tmp_path))
    spec = {"engine": "trl", "model": str(tiny_policy), "threads": 1, "launch": str(config)}
    args = arguments(tmp_path / "out", probes=[])
    stop = threading.Event()
    steps: list[int] = []
    alive: list[int] = []
    log: list[str] = []

    def first(frame: dict[str, Any]) -> None:
        steps.append(frame["step"])
        alive.append(len(processes_of(tmp_path)))
        if frame["step"] >= 7:
            stop.set()

    child = Child(spec, log.append)
    with pytest.raises((Stopped, ChildDied)):
        child.call("train", args, stop=stop, on_progress=first)
        raise AssertionError(f"the training ended before it was stopped, at step {steps[-1]}")
    child.end()
    assert alive[0] >= 4, "child, launcher and two processes"
    assert processes_of(tmp_path) == [], "a process of the training is left"

    again: list[int] = []
    child = Child(spec, log.append)
    try:
        result = child.call(
            "train",
            args,
            stop=threading.Event(),
            on_progress=lambda frame: again.append(frame["step"]),
        )
    finally:
        child.end()
    assert again[0] in (3, 6), again  # a sealed checkpoint's, every third step
    assert again[-1] == result["steps"] == STEPS
    assert result["processes"] == 2
    assert [gate["passed"] for gate in result["gates"]] == [True, True], result["gates"]
    assert result["loss_step1"] == pytest.approx(0.693147, abs=1e-4)
    assert Path(result["merged"]).is_dir() and Path(result["adapter"]).is_dir()


def test_what_cannot_be_launched_is_said(tmp_path: Path, tiny_policy: Path) -> None:
    sharded = tmp_path / "sharded.yaml"
    sharded.write_text("distributed_type: FSDP\n")
    spec = {"engine": "trl", "model": str(tiny_policy), "launch": str(sharded)}
    with pytest.raises(MoraError, match="asks for FSDP; only data-parallel"):
        ranks.launch(spec, {}, print)
    alone = tmp_path / "alone.yaml"
    alone.write_text(ACCELERATE.replace("MULTI_GPU", "MULTI_CPU"))
    args = arguments(tmp_path / "out", probes=[])
    with pytest.raises(MoraError, match="started 1 of 2 processes"):
        ranks.launch({**spec, "launch": str(alone)}, args, print)
    with pytest.raises(MoraError, match="is no accelerate config"):
        ranks.launch({**spec, "launch": str(tmp_path / "none.yaml")}, {}, print)


@pytest.mark.xdist_group("trainer")
def test_full_fine_tuning_moves_all_weights_and_resumes_to_the_same(
    start_child: Callable[..., RawChild], tiny_policy: Path, tmp_path: Path
) -> None:
    full = CONFIG | {"method": "full", "learning_rate": 1e-3}
    child = start_child(engine="trl", model=str(tiny_policy))
    child.frame()
    undisturbed = child.call("train", **arguments(tmp_path / "a", config=full))["result"]
    assert undisturbed["adapter"] is None and undisturbed["sha256"]["adapter"] is None
    assert undisturbed["sha256"]["merged"] != undisturbed["sha256"]["reference"]
    assert [gate["passed"] for gate in undisturbed["gates"]] == [True, True]

    child = start_child(engine="trl", model=str(tiny_policy))
    child.frame()
    child.send({"id": 1, "call": "train", "args": arguments(tmp_path / "b", config=full)})
    while child.frame()["progress"]["step"] < 8:
        pass
    child.end()
    child = start_child(engine="trl", model=str(tiny_policy))
    child.frame()
    resumed = child.call("train", **arguments(tmp_path / "b", config=full))["result"]
    assert resumed["sha256"] == undisturbed["sha256"]
    assert resumed["loss_step1"] == undisturbed["loss_step1"]
    assert undisturbed["steps"] == STEPS
