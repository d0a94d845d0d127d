"""What /proc says of processes, and how to end them and everything they started.

A pid alone names nobody for long, so a process is its pid and start time. What it started is
found by a mark in the environment, which reaches every descendant in whatever session.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

PROC = Path("/proc")
LARGEST_LOG = 16 * 2**20  # bytes


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which the process began; None when it is gone or a zombie.

    A zombie is gone: below an init that reaps nobody it would else live for ever.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_running(pid: int) -> bool:
    return start_time(pid) is not None


def arguments(pid: int) -> list[str]:
    """The command line, empty when the process is gone."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in raw.split(b"\0")[:-1]]


def working_folder(pid: int) -> Path | None:
    try:
        return (PROC / str(pid) / "cwd").readlink()
    except OSError:
        return None


def send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until_gone(pids: Iterable[int], seconds: float) -> bool:
    """Wait until none of `pids` runs, reaping our own children; False after `seconds`."""
    deadline = time.monotonic() + seconds
    left = list(pids)
    while left := [pid for pid in left if not _is_gone(pid)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_gone(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return not is_running(pid)


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to; one that has grown past LARGEST_LOG becomes NAME.1 first."""
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")
