"""The ranks of a two-rank `accelerate launch` end with their run: at a cancel, at the worker's
death, and when one of them is killed. The elastic launcher gives each rank a session of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mora_web.embedded import processes
from tests.chaos.console import until
from tests.environment import BASE

ACCELERATE = """
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
machine_rank: 0
mixed_precision: 'no'
num_machines: 1
num_processes: 2
rdzv_backend: static
same_network: true
use_cpu: true
"""
Launched = tuple["subprocess.Popen[bytes]", int, set[int]]


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Launched]:
    """A launcher over two ranks at work; its process, our end of the lifeline, all below it."""
    script = str(Path(__file__).with_name("ranks.py"))
    lifeline, ours = os.pipe()
    (tmp_path / "two.yaml").write_text(ACCELERATE)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
    command += ["--config_file", str(tmp_path / "two.yaml"), script, str(tmp_path)]
    launcher = subprocess.Popen(
        [sys.executable, str(BASE / "workers" / "launcher.py"), str(lifeline), *command],
        pass_fds=(lifeline,),
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    os.close(lifeline)
    try:
        until(lambda: all((tmp_path / rank).exists() for rank in "01"), 90)
        below = processes.descendants([launcher.pid]) - {launcher.pid}
        assert {int((tmp_path / rank).read_text()) for rank in "01"} < below
        yield launcher, ours, below
    finally:
        for end in {ours} & {int(n) for n in os.listdir("/proc/self/fd")}:
            os.close(end)
        launcher.wait(20)


def seconds_until_gone(pids: set[int]) -> float:
    began = time.monotonic()
    assert processes.wait_until_gone(pids, 15), "a rank lives on"
    return time.monotonic() - began


@pytest.mark.long
@pytest.mark.xdist_group("chaos")
def test_a_cancel_and_a_workers_death_end_both_ranks_in_time(launched: Launched) -> None:
    launcher, lifeline, below = launched
    os.close(lifeline)  # what a cancel does, and the kernel for a dead worker
    assert seconds_until_gone(below) < 2
    launcher.wait(5)


@pytest.mark.long
@pytest.mark.xdist_group("chaos")
def test_a_killed_rank_takes_the_other_and_their_parents_along(
    launched: Launched, tmp_path: Path
) -> None:
    launcher, _, below = launched
    os.kill(int((tmp_path / "1").read_text()), signal.SIGKILL)
    assert launcher.wait(60) != 0
    assert not any(map(processes.is_running, below))
