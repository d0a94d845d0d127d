"""Starts, restarts and stops the processes of one clone: embedded database, web, workers, sweeper.

    with Supervisor.for_console(port=8000) as supervisor:
        supervisor.start()            # database ready and migrated, processes spawned
        while not done:
            for sentence in supervisor.poll():   # about five times a second
                print(sentence)
            time.sleep(0.2)

Leaving the block stops everything, the database last. SIGINT, SIGTERM and SIGHUP leave it by
KeyboardInterrupt. A new supervisor adopts the processes of one that was killed. Knows nothing
of runs, stages and chunks: those heal from the database.
"""

import contextlib
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TextIO

from mora_web.embedded import console, postgres, processes
from mora_web.embedded.cluster import make_folder
from mora_web.embedded.location import Location, var_directory
from mora_web.embedded.member import Member, Pause, Process
from mora_web.embedded.surroundings import SetupError, check_database, check_port, folder_errors

__all__ = ["Process", "SetupError", "Supervisor"]

STOP_SECONDS = 10.0
LEFTOVER_SECONDS = 3.0
CONNECT_SECONDS = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Keeps a list of processes alive, in front of an embedded database or of DATABASE_URL."""

    def __init__(
        self,
        *,
        var: Path,
        members: Sequence[Process],
        folder: Path,
        database: Location | str | None = None,
        before: Process | None = None,
        port: int | None = None,
    ) -> None:
        """`before` runs to its end when the database is there; `port` is the first member's."""
        self.var, self.folder, self.port = var, folder, port
        self._database = database
        self._before = None if before is None else Member(before, var, folder)
        self._members = [Member(process, var, folder) for process in members]
        self._lock: TextIO | None = None
        self._database_pid = 0
        self._database_pause = Pause()
        self._database_died = False
        self._handlers: dict[int, Any] = {}
        self._signalled = False
        self._in_step = False

    @classmethod
    def for_console(cls, *, port: int | None = None) -> Self:
        """The embedded set of this clone; `port` defaults to PORT, then 8000."""
        port = console.default_port() if port is None else port
        return cls(
            var=var_directory(console.BASE),
            folder=console.BASE,
            members=console.members(port),
            database=os.environ.get("DATABASE_URL") or postgres.location(console.BASE),
            before=console.MIGRATE,
            port=port,
        )

    @property
    def url(self) -> str:
        """Where the console is in a browser."""
        return f"http://{console.HOST}:{self.port}/"

    def start(self) -> None:
        """Return when the database is ready and migrated and every process has been spawned.

        Raises SetupError, before anything was started where that can be known.
        """
        self._take_lock()
        adopted = [member for member in self._members if member.adopt()]
        with self._step():
            self._end(self._strangers(adopted), lambda: self._strangers(adopted))
        if self.port is not None and self._members[0] not in adopted:
            check_port(console.HOST, self.port)
        self._prepare_database()
        for member in self._members:
            with self._step():
                if member not in adopted:
                    member.spawn()

    def is_serving(self) -> bool:
        """Whether the web accepts connections; it has to import the console first."""
        if self.port is None:
            return False
        try:
            socket.create_connection((console.HOST, self.port), CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    def poll(self) -> list[str]:
        """Start again what died, after its pause. Returns one sentence for each that died."""
        with self._step():
            said = [self._poll_database()]
            for member in self._members:
                try:
                    said.append(member.poll())
                except SetupError as error:
                    said.append(f"{member.process.name}: {error}")
        return [sentence for sentence in said if sentence]

    def stop(self) -> None:
        """End everything: SIGTERM, after STOP_SECONDS SIGKILL, then the database."""
        if self._lock is None:
            return
        leaders = [member.pid for member in reversed(self._members) if member.is_running()]
        self._end(leaders, self._everything)
        for member in self._members:
            member.record.unlink(missing_ok=True)
        if isinstance(self._database, Location):
            postgres.stop(self._database)
        self._lock.close()
        self._lock = None

    def pids(self) -> set[int]:
        """Every process of the set now, ourselves and the embedded database included."""
        database = isinstance(self._database, Location) and postgres.adopt(self._database)
        roots = processes.descendants([database]) if database else set()
        return {os.getpid()} | self._everything() | roots

    def __enter__(self) -> Self:
        with contextlib.suppress(ValueError):  # another thread than the main one has no signals
            for number in SIGNALS:
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # nohup means it
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._signalled = True  # from here on no signal cuts the stop short
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        first, self._signalled = not self._signalled, True
        if first and not self._in_step:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _step(self) -> Iterator[None]:
        """Hold a signal back until the step is done: nothing is started and then not known."""
        self._in_step = True
        try:
            yield
        finally:
            self._in_step = False
        if self._signalled:
            raise KeyboardInterrupt

    def _take_lock(self) -> None:
        with folder_errors(self.var):
            for name in ("log", "run"):
                make_folder(self.var / name)
            lock = (self.var / "run" / "supervisor.lock").open("a+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                lock.close()
                raise SetupError(
                    f"This console is already running (process {owner}): "
                    "stop that one first, with Ctrl-C or SIGTERM."
                ) from None
            self._lock = lock
            lock.truncate(0)
            print(os.getpid(), file=lock, flush=True)

    def _prepare_database(self) -> None:
        """Start the database and do what comes before; again where it was killed meanwhile."""
        for is_last in (False, False, True):
            with self._step():
                self._start_database()
            try:
                if self._before is not None:
                    self._before.run()
            except SetupError:
                embedded = isinstance(self._database, Location)
                if is_last or not embedded or not _is_ending(self._database_pid):
                    raise
            else:
                return

    def _start_database(self) -> None:
        if isinstance(self._database, Location):
            self._database_pid = postgres.start(self._database)
            self._database_pause.started = time.monotonic()
        elif self._database:
            check_database(self._database)

    def _poll_database(self) -> str | None:
        if not isinstance(self._database, Location) or processes.is_running(self._database_pid):
            return None
        if not self._database_died:
            self._database_died = True
            pause = self._database_pause.begin()
            return f"postgres ended (see {self._database.log}) and starts again in {pause:g} s"
        if not self._database_pause.is_over():
            return None
        self._database_died = False
        try:
            self._database_pid = postgres.adopt(self._database) or postgres.spawn(self._database)
        except SetupError as error:
            return str(error)
        self._database_pause.started = time.monotonic()
        return None

    def _everything(self) -> set[int]:
        roots = set(processes.marked(str(self.var))).union(*(m.roots() for m in self._members))
        return processes.descendants(roots)

    def _strangers(self, adopted: Collection[Member]) -> set[int]:
        """What an earlier supervisor left and we don't take over."""
        kept = {member.process.name for member in adopted}
        return {pid for pid, name in processes.marked(str(self.var)).items() if name not in kept}

    def _end(self, leaders: Collection[int], find: Callable[[], set[int]]) -> None:
        processes.end(leaders, find, seconds=STOP_SECONDS, leftover=LEFTOVER_SECONDS)


def _is_ending(pid: int) -> bool:
    """Whether the process is gone, or just about to be."""
    return processes.wait_until_gone([pid], 0.5)
