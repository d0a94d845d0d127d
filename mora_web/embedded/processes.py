"""What /proc says of processes, and how to end them and everything they started.

A pid alone names nobody for long, so a process is its pid and start time. What it started is
found by a mark in the environment, which reaches every descendant in whatever session; and by
its session, for a descendant that was given another environment.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

PROC = Path("/proc")
MARK = "MORA_SUPERVISED"
LARGEST_LOG = 16 * 2**20  # bytes


class Stat(NamedTuple):
    """What identifies and places one process."""

    parent: int
    session: int
    start_time: int  # clock ticks since boot


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def stat(pid: int) -> Stat | None:
    """The process, or None when it is gone or a zombie.

    A zombie is gone: below an init that reaps nobody it would else live for ever.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    if fields[0] in "ZX":
        return None
    return Stat(int(fields[1]), int(fields[3]), int(fields[19]))


def is_running(pid: int) -> bool:
    return stat(pid) is not None


def arguments(pid: int) -> list[str]:
    """The command line, empty when the process is gone."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in raw.split(b"\0")[:-1]]


def environment(pid: int) -> dict[str, str]:
    """What the process was started with, empty when it is gone or not ours to see."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    entries = (os.fsdecode(entry).partition("=") for entry in raw.split(b"\0") if entry)
    return {name: value for name, _, value in entries}


def working_folder(pid: int) -> Path | None:
    try:
        return (PROC / str(pid) / "cwd").readlink()
    except OSError:
        return None


def marked(owner: str) -> dict[int, str]:
    """Every running process marked "OWNER:NAME", ourselves excepted, with its NAME."""
    prefix = os.fsencode(f"{MARK}={owner}:")
    found = {}
    for pid in all_pids():
        try:
            entries = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for entry in entries:
            if entry.startswith(prefix) and pid != os.getpid() and is_running(pid):
                found[pid] = os.fsdecode(entry[len(prefix) :])
    return found


def descendants(roots: Collection[int]) -> set[int]:
    """`roots`, their sessions, and all that these started and that still hangs below them."""
    table = {pid: found for pid in all_pids() if (found := stat(pid)) is not None}
    family = {pid for pid, found in table.items() if pid in roots or found.session in roots}
    while more := {pid for pid, found in table.items() if found.parent in family} - family:
        family |= more
    return family


def send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until_gone(pids: Iterable[int], seconds: float) -> bool:
    """Wait until none of `pids` runs; False after `seconds`."""
    deadline = time.monotonic() + seconds
    left = list(pids)
    while left := [pid for pid in left if is_running(pid)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(
    leaders: Collection[int], find: Callable[[], set[int]], *, seconds: float, leftover: float
) -> None:
    """End `leaders` and everything that `find` names, now or while this goes on.

    The leaders get SIGTERM, so that each ends what it started, and `seconds` for it; what is
    left when all have gone gets SIGTERM and `leftover` seconds. Then SIGKILL until nothing is.
    """
    seen: dict[int, int] = {}

    def left() -> list[int]:
        found = {pid: found.start_time for pid in find() if (found := stat(pid))}
        seen.update(found)
        return [pid for pid, began in seen.items() if (s := stat(pid)) and s.start_time == began]

    left()
    for pid in leaders:
        send(pid, signal.SIGTERM)
    if wait_until_gone(leaders, seconds) and (rest := left()):
        for pid in rest:
            send(pid, signal.SIGTERM)
        wait_until_gone(rest, leftover)
    while rest := left():
        for pid in rest:
            send(pid, signal.SIGKILL)
        wait_until_gone(rest, 1.0)


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to; one that has grown past LARGEST_LOG becomes NAME.1 first."""
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")
