"""A console of its own for a chaos run: `manage.py up` with its embedded PostgreSQL, and beside it
one more worker a queue, as a second host would have, so that somebody can take over."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mora_web.embedded import processes
from mora_web.embedded.location import location
from tests.environment import BASE

MEMBERS = ("web", "gpu", "cpu", "sweeper")
SECOND = {"gpu2": 1, "cpu2": 2}  # slots
READY_SECONDS = 90.0


@dataclass
class Console:
    """Everything in the folder `var`; `env` is what its processes are started with."""

    env: dict[str, str]
    var: Path
    supervisor: "subprocess.Popen[bytes] | None" = None
    beside: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def up(self) -> None:
        """Start the supervisor; returns at once."""
        self.supervisor = self._spawn("up", "manage.py", "up", "--port", str(free_port()))

    def start_second(self, name: str) -> None:
        """Start a worker that the supervisor knows nothing of."""
        queue, slots = name[:-1], str(SECOND[name])
        argv = ["-m", "celery", "-A", "mora_web", "worker", "-Q", queue, "-n", f"{name}@%h"]
        argv += ["--pool", "threads", "-c", slots, "--prefetch-multiplier", "1"]
        argv += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        self.beside[name] = self._spawn(name, *argv)

    def _spawn(self, name: str, *argv: str) -> "subprocess.Popen[bytes]":
        with (self.var / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *argv],
                cwd=BASE,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def down(self) -> None:
        """SIGTERM to everything, as an operator stops a console."""
        running = [*self.beside.values(), *filter(None, [self.supervisor])]
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.beside.clear()
        self.supervisor = None

    def wait_until_ready(self) -> None:
        until(lambda: all(self.pid_of(name) for name in MEMBERS), READY_SECONDS)

    def pid_of(self, name: str) -> int:
        """The running process of a name, else 0."""
        if name in self.beside or name == "supervisor":
            process = self.supervisor if name == "supervisor" else self.beside[name]
            return process.pid if process is not None and process.poll() is None else 0
        if name == "postgres":
            file = location(BASE).data / "postmaster.pid"
            pid = int(file.read_text().split()[0]) if file.exists() else 0
        else:
            record = self.var / "run" / f"{name}.json"
            pid = int(json.loads(record.read_text())["pid"]) if record.exists() else 0
        return pid if pid and processes.is_running(pid) else 0

    def engines(self) -> dict[int, int]:
        """Running engine processes, each with the worker above it."""
        found = {}
        for worker in filter(None, map(self.pid_of, ("gpu", "cpu", *self.beside))):
            for pid in processes.descendants([worker]):
                if "workers.engines.child" in processes.arguments(pid)[2:3]:
                    found[pid] = worker
        return found

    def left(self) -> dict[int, list[str]]:
        """Command lines of all processes that were started with this console's folder."""
        wanted = os.fsencode(f"MORA_VAR={self.var}")
        found = {}
        for pid in processes.all_pids():
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if wanted in environment and pid != os.getpid() and processes.is_running(pid):
                found[pid] = processes.arguments(pid)
        data = location(BASE).data
        servers = [pid for pid in processes.all_pids() if processes.working_folder(pid) == data]
        return found | {pid: processes.arguments(pid) for pid in servers}


def _end_with_parent() -> None:
    """A harness that is itself killed leaves no console behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], seconds: float) -> float:
    """Wait until a condition holds; the seconds it took. Raises TimeoutError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        time.sleep(0.02)
    return time.monotonic() - began
