"""What a chaos run does to its console: whom it kills, pauses, cuts off or robs, one at a time.

A strike returns what it hit, or nothing where there was nothing to hit. Everything that is to
happen later (waking, starting again) is put on the agenda, so that strikes overlap.
"""

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connection

from alignment.models import Chunk, Run
from mora_web.embedded import processes
from tests.chaos.console import SECOND, Console
from tests.lies import LIES

LEASE_SECONDS = 8.0
RECOVERY_SECONDS = 5.0  # of a killed PostgreSQL, and of those who wait for it
WORKERS = ("gpu", "gpu2", "cpu", "cpu2")
VICTIMS = ("child", *WORKERS, "sweeper", "web", "supervisor", "postgres")
OFTEN = ("child", "child", "gpu", "gpu2", "cpu")
OTHERS = (
    "long pause",
    "short pause",
    "broker emptied",
    "broken message",
    "broken binding",
    "connections cut",
    "database away",
    "broken checkpoint",
    "restart",
)


@dataclass(kw_only=True)
class Strike:
    """One thing done: when (epoch seconds), to what, to which process, in which kind of stage."""

    what: str
    at: float
    pid: int
    stage: str


@dataclass
class Striker:
    """Draws strikes from a seeded source and keeps what it did."""

    console: Console
    random: random.Random
    done: list[Strike] = field(default_factory=list)
    dying: list[threading.Thread] = field(default_factory=list)
    deaths: list[float] = field(default_factory=list)
    paused: dict[int, int] = field(default_factory=dict)  # pid: start time
    away: list[tuple[float, float]] = field(default_factory=list)
    agenda: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(strike.what in VICTIMS for strike in self.done)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self.agenda.append((time.monotonic() + seconds, act))

    def tick(self) -> None:
        """Do what has come due."""
        now = time.monotonic()
        due = [act for at, act in self.agenda if at <= now]
        self.agenda = [(at, act) for at, act in self.agenda if at > now]
        for act in due:
            act()

    def settle(self) -> None:
        """Wake what sleeps and start what is due, whatever the clock says."""
        self.agenda = [(0.0, act) for _, act in self.agenda]
        self.tick()

    def strike(self, what: str, run: Run, stage: str) -> bool:
        """Do one thing to the console; whether there was anything to do it to."""
        if what in VICTIMS:
            pid = self._kill(what, run)
        else:
            pid = getattr(self, f"_{what.replace(' ', '_')}")(run)
        if pid is None:
            return False
        self.done.append(Strike(what=what, at=time.time(), pid=pid, stage=stage))
        return True

    def _kill(self, what: str, run: Run) -> int | None:
        pid = self._busy_engine(run) if what == "child" else self.console.pid_of(what)
        if not pid:
            return None
        family = processes.descendants([pid]) if what in WORKERS else set()
        worker = self.console.engines().get(pid, 0) if what == "child" else pid
        os.kill(pid, signal.SIGKILL)
        if family:  # in a thread, for whoever strikes may be held up
            self.dying.append(threading.Thread(target=self._watch, args=(family,)))
            self.dying[-1].start()
        if what == "supervisor":
            assert self.console.supervisor is not None
            self.console.supervisor.wait()
            self.later(self.random.uniform(0, 2), self.console.up)
        if what in SECOND:
            self.later(self.random.uniform(0.5, 1.5), lambda: self.console.start_second(what))
        return worker

    def _watch(self, family: set[int]) -> None:
        """How long it takes until a killed worker has left nothing behind."""
        began = time.monotonic()
        processes.wait_until_gone(family, 30)
        self.deaths.append(time.monotonic() - began)

    def _busy_engine(self, run: Run) -> int | None:
        """An engine's process; none where one more death would poison its chunk."""
        held = Chunk.objects.filter(stage__run=run, state="claimed")
        if held.filter(attempts__gte=2).exists():
            return None
        workers = {int(owner.split("/")[1]) for owner in held.values_list("owner", flat=True)}
        busy = sorted(pid for pid, above in self.console.engines().items() if above in workers)
        return self.random.choice(busy) if busy else None

    def _pause(self, seconds: float) -> int | None:
        """Stop a worker, at best one that holds a claim, and let it go on later."""
        owners = Chunk.objects.filter(state="claimed").values_list("owner", flat=True)
        holding = {int(owner.split("/")[1]) for owner in owners}
        alive = [pid for pid in map(self.console.pid_of, WORKERS) if pid and pid not in self.paused]
        if not alive:
            return None
        pid = self.random.choice([p for p in alive if p in holding] or alive)
        found = processes.stat(pid)
        if found is None:
            return None
        os.kill(pid, signal.SIGSTOP)
        self.paused[pid] = found.start_time
        self.later(seconds, lambda: self.wake(pid))
        return pid

    def wake(self, pid: int) -> None:
        began = self.paused.pop(pid, None)
        found = processes.stat(pid)
        if found is not None and found.start_time == began:
            processes.send(pid, signal.SIGCONT)

    def wake_all(self) -> None:
        for pid in list(self.paused):
            self.wake(pid)

    def _long_pause(self, run: Run) -> int | None:
        return self._pause(LEASE_SECONDS + self.random.uniform(1.5, 4))

    def _short_pause(self, run: Run) -> int | None:
        return self._pause(self.random.uniform(0.1, 3))

    def _broker_emptied(self, run: Run) -> int:
        folder = settings.VAR / "broker" / "messages"
        for message in folder.iterdir():
            message.unlink(missing_ok=True)
        return 0

    def _broken_message(self, run: Run) -> int:
        """Half of a message, or one that lies."""
        queue = self.random.choice(("gpu", "cpu"))
        name = f"{int(time.monotonic() * 1000)}_bad.{queue}.msg"
        text = self.random.choice(['{"body": "W1sxXSwge', *map(json.dumps, LIES)])
        (settings.VAR / "broker" / "messages" / name).write_text(text)
        return 0

    def _broken_binding(self, run: Run) -> int:
        queue = self.random.choice(("gpu", "cpu"))
        (settings.VAR / "broker" / "control" / f"{queue}.exchange").write_text('[["gpu", "')
        return 0

    def _connections_cut(self, run: Run) -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        return 0

    def _database_away(self, run: Run) -> int | None:
        """Kill PostgreSQL and keep it away for longer than a lease."""
        supervisor, server = self.console.pid_of("supervisor"), self.console.pid_of("postgres")
        if not supervisor or not server:
            return None
        seconds = LEASE_SECONDS + self.random.uniform(1, 6)
        os.kill(supervisor, signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
        self.away.append((time.time(), time.time() + seconds + RECOVERY_SECONDS))
        self.later(seconds, lambda: processes.send(supervisor, signal.SIGCONT))
        return 0

    def _broken_checkpoint(self, run: Run) -> int | None:
        """Damage the newest checkpoint of the training that runs, then kill its process."""
        folder = Path(settings.ARTIFACTS) / "runs" / str(run.pk)
        kept = folder.glob("stage-*/attempt-*/checkpoints-*/checkpoint-*/*")
        files = sorted(kept, key=os.path.getmtime)
        training = Chunk.objects.filter(stage__run=run, stage__kind="train", state="claimed")
        if not files or not training.exists():
            return None
        victim = self.random.choice(files[-4:])
        content = bytearray(victim.read_bytes())
        if self.random.random() < 0.5 or not content:
            content = content[: len(content) // 2]
        else:
            content[self.random.randrange(len(content))] ^= 0xFF
        victim.write_bytes(content)
        self.strike("child", run, "train")
        return 0

    def _restart(self, run: Run) -> int:
        """Stop everything as an operator does, and start it again."""
        self.wake_all()
        self.console.down()
        self.agenda.clear()
        self.start_all()
        return 0

    def start_all(self) -> None:
        shutil.rmtree(settings.VAR / "broker", ignore_errors=True)
        for name in ("messages", "control"):
            (settings.VAR / "broker" / name).mkdir(parents=True)
        self.console.up()
        for name in SECOND:
            self.console.start_second(name)
