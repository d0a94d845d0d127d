"""The child process and its launcher: whatever happens, no descendant is left."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alignment.method.errors import MoraError
from tests.environment import BASE
from workers.child import Child, ChildDied, Stopped

LAUNCHER = str(BASE / "workers" / "launcher.py")
# A grandchild in a session of its own that ignores SIGTERM, as an elastic launcher's rank may.
STUBBORN = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
        time.sleep(600)
    time.sleep(600)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def launch(tmp_path: Path) -> tuple[subprocess.Popen[bytes], int, list[int]]:
    """A launcher over a stubborn tree; its process, our end of the lifeline, the tree's ids."""
    pids = tmp_path / "pids"
    lifeline, ours = os.pipe()
    launcher = subprocess.Popen(
        [sys.executable, LAUNCHER, str(lifeline), sys.executable, "-c", STUBBORN, str(pids)],
        pass_fds=(lifeline,),
        start_new_session=True,
    )
    os.close(lifeline)
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    return launcher, ours, [int(pid) for pid in pids.read_text().split()]


def wait_until(condition: "object", seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return ")" in (stat := Path(f"/proc/{pid}/stat").read_text()) and ") Z" in stat
    except OSError:
        return True


def test_the_end_of_the_lifeline_ends_every_descendant(tmp_path: Path) -> None:
    launcher, lifeline, pids = launch(tmp_path)
    started = time.monotonic()
    os.close(lifeline)
    launcher.wait(10)
    assert time.monotonic() - started < 2
    assert all(gone(pid) for pid in pids)


def test_the_end_of_the_child_ends_what_it_left_behind(tmp_path: Path) -> None:
    launcher, lifeline, pids = launch(tmp_path)
    child = next(
        pid for pid in pids if f" {launcher.pid} " in Path(f"/proc/{pid}/stat").read_text()[:60]
    )
    os.kill(child, signal.SIGKILL)
    assert launcher.wait(10) == 128 + signal.SIGKILL
    assert all(gone(pid) for pid in pids)
    os.close(lifeline)


def test_a_killed_worker_takes_its_child_along(tmp_path: Path) -> None:
    script = (
        "import sys, threading, time\n"
        "from workers.child import Child\n"
        "child = Child({'engine': 'rules'}, print)\n"
        "args = {'rule': 'refusal', 'prompts': ['a'], 'completions': ['b']}\n"
        "child.call('judge', args, stop=threading.Event())\n"
        "print(child._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=BASE, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    launcher = int(worker.stdout.readline())
    worker.kill()
    worker.wait()
    worker.stdout.close()
    wait_until(lambda: gone(launcher), 3)


def rules() -> Child:
    return Child({"engine": "rules"}, lambda line: None)


def judge(child: Child, stop: threading.Event, completions: list[str]) -> object:
    args = {"rule": "refusal", "prompts": ["x"] * len(completions), "completions": completions}
    return child.call("judge", args, stop=stop)


def test_a_child_answers_call_after_call() -> None:
    child, stop = rules(), threading.Event()
    try:
        assert len(judge(child, stop, ["I cannot help with that."])) == 1  # type: ignore[arg-type]
        assert len(judge(child, stop, ["Yes."] * 20_000)) == 20_000  # type: ignore[arg-type]
    finally:
        child.end()


def test_a_foreseen_error_reaches_the_caller_and_the_child_lives_on() -> None:
    child, stop = rules(), threading.Event()
    try:
        with pytest.raises(MoraError, match="no rule 'nonsense'"):
            child.call("judge", {"rule": "nonsense", "prompts": [], "completions": []}, stop=stop)
        assert judge(child, stop, ["Yes."])
    finally:
        child.end()


def test_an_unknown_engine_is_told_in_a_sentence() -> None:
    child = Child({"engine": "nonsense"}, lambda line: None)
    with pytest.raises(MoraError, match="no engine 'nonsense'"):
        child.call("judge", {}, stop=threading.Event())
    assert not child.alive


def test_a_killed_child_is_reported_with_its_signal() -> None:
    child, stop = rules(), threading.Event()
    judge(child, stop, ["Yes."])
    launcher = child._process.pid
    kid = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()[0]
    os.kill(int(kid), signal.SIGKILL)
    with pytest.raises(ChildDied, match="ended by SIGKILL; out of memory"):
        judge(child, stop, ["Yes."])


def test_a_stop_ends_the_child_in_the_middle_of_a_call() -> None:
    child, stop = rules(), threading.Event()
    judge(child, stop, ["Yes."])
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        while True:
            judge(child, stop, ["Yes, of course. " * 1000] * 5000)
    assert time.monotonic() - started < 5
    assert not child.alive


def test_a_child_killed_in_the_middle_of_a_frame_has_died(tmp_path: Path) -> None:
    engine = tmp_path / "python"
    engine.write_text(
        "#!/bin/sh\n"
        """echo '{"ready": {"version": "1", "on_gpu": false}}'; read request\n"""
        """printf '{"id": 1, "result": ["cut o'; kill -9 $$\n"""
    )
    engine.chmod(0o700)
    child = Child({"engine": "rules"}, lambda line: None, python=str(engine))
    with pytest.raises(ChildDied, match="SIGKILL"):
        judge(child, threading.Event(), ["Yes."])
