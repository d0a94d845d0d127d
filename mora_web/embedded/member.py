"""One supervised process: spawn it, adopt it, see it die, start it again after a pause.

Its pid and start time are in var/run/NAME.json, its output in var/log/NAME.log. What a dead
one left running is ended before the next one starts. Knows nothing of the other processes.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mora_web.embedded import processes
from mora_web.embedded.surroundings import SetupError, folder_errors

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
SETTLED_SECONDS = 30.0
# Variables that change from one terminal to the next and set nothing of the console's.
TERMINAL = ("_", "COLUMNS", "DBUS_", "LINES", "OLDPWD", "PWD", "SHLVL", "SSH_", "TERM", "XDG_")
LEFTOVER_SECONDS = 3.0  # an engine's launcher ends its descendants in one second


@dataclass(frozen=True, kw_only=True)
class Process:
    """What to run: `env` is added to ours."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


class Pause:
    """When what died may start again: 0.5 s, doubling to 10 s, from the start after 30 s alive."""

    def __init__(self) -> None:
        self.seconds = SHORTEST_PAUSE
        self.due = 0.0
        self.started = 0.0

    def begin(self) -> float:
        """Something died now; returns the pause in seconds."""
        now = time.monotonic()
        if now - self.started >= SETTLED_SECONDS:
            self.seconds = SHORTEST_PAUSE
        pause, self.seconds = self.seconds, min(LONGEST_PAUSE, 2 * self.seconds)
        self.due = now + pause
        return pause

    def is_over(self) -> bool:
        return time.monotonic() >= self.due


class Member:
    """One Process and what runs of it."""

    def __init__(self, process: Process, var: Path, folder: Path) -> None:
        self.process = process
        self.var = var
        self.folder = folder
        self.pid = 0
        self._start_time = 0
        self._handle: subprocess.Popen[bytes] | None = None
        self._pause = Pause()
        self._died_at: float | None = None

    @property
    def record(self) -> Path:
        return self.var / "run" / f"{self.process.name}.json"

    @property
    def log(self) -> Path:
        return self.var / "log" / f"{self.process.name}.log"

    def adopt(self) -> bool:
        """Take over what an earlier supervisor started with the same command line and settings."""
        try:
            seen = json.loads(self.record.read_text())
            pid, started, argv = int(seen["pid"]), int(seen["start_time"]), tuple(seen["argv"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        found = processes.stat(pid)
        same = found is not None and found.start_time == started and argv == self.process.argv
        # After a reboot another process may have the same pid and start time.
        if not same or pid not in processes.marked(str(self.var)) or not self._set_alike(pid):
            return False
        self.pid, self._start_time = pid, started
        self._pause.started = time.monotonic()
        return True

    def _set_alike(self, pid: int) -> bool:
        """Whether a process has the environment that we would give it, the terminal's aside."""
        ours, found = os.environ | self.process.env, processes.environment(pid)
        names = {n for n in {*ours, *found} if n != processes.MARK and not n.startswith(TERMINAL)}
        return all(ours.get(name) == found.get(name) for name in names)

    def spawn(self) -> None:
        """Start the process in a session of its own. Raises SetupError when it cannot."""
        with folder_errors(self.var), processes.open_log(self.log) as output:
            self._handle = subprocess.Popen(
                self.process.argv, stdout=output, stderr=output, **self._surroundings()
            )
            self.pid = self._handle.pid
            found = processes.stat(self.pid)
            self._start_time = found.start_time if found else 0
            self._pause.started = time.monotonic()
            self._died_at = None
            self._write_record()

    def run(self) -> None:
        """Run the process to its end. Raises SetupError when that is not status 0."""
        with folder_errors(self.var), processes.open_log(self.log) as output:
            done = subprocess.run(
                self.process.argv,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                **self._surroundings(),
            )
            output.write(done.stdout)
        if done.returncode:
            lines = done.stdout.decode(errors="replace").split("\n")
            reason = next((line.strip() for line in reversed(lines) if line.strip()), "no reason")
            raise SetupError(f"{self.process.name} failed: {reason.rstrip('.')} (see {self.log}).")

    def _surroundings(self) -> dict[str, Any]:
        mark = {processes.MARK: f"{self.var}:{self.process.name}"}
        return {
            "cwd": self.folder,
            "env": os.environ | self.process.env | mark,
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
        }

    def is_running(self) -> bool:
        if self._handle is not None and self._handle.poll() is not None:
            return False
        found = processes.stat(self.pid) if self.pid else None
        return found is not None and found.start_time == self._start_time

    def poll(self) -> str | None:
        """Bring the process back when it is dead; never waits. Returns what there is to say."""
        if self.is_running():
            return None
        if self._died_at is None:
            self._died_at = time.monotonic()
            pause = self._pause.begin()
            self._signal_family(signal.SIGTERM)
            what = f"{self.process.name} ended ({self._reason()}, see {self.log})"
            return f"{what} and starts again in {pause:g} s"
        if not self._pause.is_over():
            return None
        if self.family():
            if time.monotonic() - self._died_at > LEFTOVER_SECONDS:
                self._signal_family(signal.SIGKILL)
            return None
        self.spawn()
        return None

    def family(self) -> set[int]:
        """The process and everything it started, as far as it runs."""
        return processes.descendants(self.roots())

    def roots(self) -> set[int]:
        """The processes that carry our mark, and the session that we began, its leader dead or not.

        The kernel gives a session's number to nobody while a process is left in it.
        """
        owners = processes.marked(str(self.var))
        roots = {pid for pid, name in owners.items() if name == self.process.name}
        found = processes.stat(self.pid)
        if self.pid and (found is None or found.start_time == self._start_time):
            roots.add(self.pid)
        return roots

    def _signal_family(self, number: int) -> None:
        for pid in self.family():
            processes.send(pid, number)

    def _reason(self) -> str:
        status = self._handle.returncode if self._handle else None
        if status is None:
            return "its status is not known"
        return signal.Signals(-status).name if status < 0 else f"status {status}"

    def _write_record(self) -> None:
        fresh = self.record.with_suffix(".new")
        seen = {"pid": self.pid, "start_time": self._start_time, "argv": self.process.argv}
        fresh.write_text(json.dumps(seen))
        fresh.replace(self.record)
