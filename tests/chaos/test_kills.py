"""Killing any process with SIGKILL, in sampling and in training, changes nothing that comes out.

A console of its own (database, workers, supervisor) runs the same work twice: once undisturbed,
once with a worker, its child, PostgreSQL and the supervisor killed in each of the two stages.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from mora_web.embedded import processes
from mora_web.embedded.location import location
from tests.environment import BASE


@dataclass
class Console:
    """A supervised console in a folder of its own."""

    env: dict[str, str]
    var: Path
    supervisor: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        self.supervisor = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(free_port())],
            cwd=BASE,
            env=self.env,
            stdout=(self.var / "up.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def down(self) -> None:
        assert self.supervisor is not None
        self.supervisor.send_signal(signal.SIGTERM)
        self.supervisor.wait(40)

    def ask(self, *argv: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.chaos.project", *argv]
        out = subprocess.run(command, cwd=BASE, env=self.env, check=True, stdout=subprocess.PIPE)
        found: dict[str, Any] = json.loads(out.stdout)
        return found

    def stage(self, slug: str, kind: str) -> tuple[str, int, int]:
        """Status, done and total of the run's stage of a kind in round 1."""
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT s.status, s.done, s.total FROM alignment_stage s"
                " JOIN alignment_run r ON r.id = s.run_id JOIN alignment_project p"
                " ON p.id = r.project_id WHERE p.slug = %s AND s.kind = %s AND s.round = 1",
                [slug, kind],
            ).fetchone()
        assert row is not None
        return row

    @property
    def url(self) -> str:
        return self.env["CONSOLE_URL"]

    def pid_of(self, victim: str) -> int:
        """The process to kill: a worker, the child with the model, PostgreSQL, the supervisor."""
        if victim == "supervisor":
            assert self.supervisor is not None
            return self.supervisor.pid
        if victim == "postgres":
            return int((location(BASE).data / "postmaster.pid").read_text().split()[0])
        worker = int(json.loads((self.var / "run" / "gpu.json").read_text())["pid"])
        if victim == "worker":
            return worker
        engines = [
            pid
            for pid in processes.descendants([worker])
            if "workers.engines.child" in processes.arguments(pid)[2:3]
        ]
        assert engines, "no child holds a model"
        return engines[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def console(
    tmp_path: Path, sandbox_policy: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Console]:
    monkeypatch.setenv("MORA_VAR", str(tmp_path))
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    env |= {
        "MORA_VAR": str(tmp_path),
        "MORA_ARTIFACTS": str(tmp_path / "artifacts"),
        "MODEL_ROOTS": str(settings.ARTIFACTS),
        "SANDBOX_POLICY": f"{Path(settings.ARTIFACTS) / sandbox_policy[0]} {sandbox_policy[1]}",
        "CONSOLE_URL": location(BASE).url,
    }
    made = Console(env=env, var=tmp_path)
    made.up()
    try:
        until(lambda: (tmp_path / "run" / "sweeper.json").exists(), 60)
        yield made
    finally:
        made.down()
        if location(BASE).uses_home:
            shutil.rmtree(location(BASE).home)


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds; a database that is away does not hold it."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            if condition():
                return
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def kill_all_in_turn(console: Console, slug: str, kind: str, step: int) -> None:
    """Kill each victim once while the stage runs, each after some progress."""
    for victim in ("worker", "child", "postgres", "supervisor"):
        aim = console.stage(slug, kind)[1] + step

        def moved(aim: int = aim) -> bool:
            status, done, _ = console.stage(slug, kind)
            assert status in ("pending", "queued", "running"), f"{kind} has ended too early"
            return done >= aim

        until(moved, 120)
        os.kill(console.pid_of(victim), signal.SIGKILL)
        if victim == "supervisor":
            assert console.supervisor is not None
            console.supervisor.wait()
            console.up()
        if victim == "postgres":
            until(lambda: bool(console.stage(slug, kind)), 60)


@pytest.mark.xdist_group("chaos")
def test_killing_every_process_in_sampling_and_training_changes_nothing(console: Console) -> None:
    def ended(slug: str) -> bool:
        return console.stage(slug, "evaluate")[0] in ("succeeded", "failed", "cancelled")

    console.ask("start", "calm")
    until(lambda: ended("calm"), 240)
    calm = console.ask("report", "calm")
    assert (calm["status"], calm["reasons"][0][:10]) == ("succeeded", "review not")
    assert calm["claims"] == calm["chunks"]

    console.ask("start", "shaken")
    kill_all_in_turn(console, "shaken", "sample", 64)
    kill_all_in_turn(console, "shaken", "train", 2)
    until(lambda: ended("shaken"), 240)
    shaken = console.ask("report", "shaken")
    assert shaken["status"] == "succeeded", shaken
    assert shaken["claims"] > shaken["chunks"], "nothing was interrupted"
    for same in ("outcome", "rollouts", "scores", "steps"):
        assert shaken[same] == calm[same], same
    assert (shaken["doubled"], shaken["unfinished"], shaken["events"]) == (0, 0, True)
