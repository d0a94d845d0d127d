"""Stands between a worker and its child, and ends every descendant when the worker goes.

`python launcher.py LIFELINE COMMAND ...` runs the command in a process group of its own. As a
child subreaper it inherits whatever the command orphans, in whatever session, so that it can end
all of it: when the command ends, and when the pipe LIFELINE reaches end-of-file (the worker died)
or carries a byte (cancel). First SIGTERM, a second later SIGKILL. Standard library only.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 1.0


def main() -> int:
    lifeline, command = int(sys.argv[1]), sys.argv[2:]
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    os.set_inheritable(lifeline, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the lifeline decides
    child = _spawn(command)
    ended = os.pidfd_open(child)
    select.select([lifeline, ended], [], [])
    end_descendants()
    return _exit_status(child)


def _spawn(command: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    finally:
        os._exit(127)


def end_descendants() -> None:
    """SIGTERM to all, SIGKILL to those alive after the grace, until none is left."""
    deadline = time.monotonic() + GRACE_SECONDS
    told: set[int] = set()
    while alive := descendants():
        kill = time.monotonic() > deadline
        for pid in alive if kill else set(alive) - told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        told |= set(alive)
        time.sleep(0.02)


def descendants() -> list[int]:
    """Living descendants of this process; zombies do not count."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                if fields[0] not in ("Z", "X"):
                    parents[int(name)] = int(fields[1])
    found: list[int] = []
    level = {os.getpid()}
    while level := {pid for pid, parent in parents.items() if parent in level}:
        found += level
    return found


def _exit_status(child: int) -> int:
    """The child's exit status, as a shell gives it; reaps the orphans too."""
    status = 0
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, raw = os.waitpid(-1, 0)
            if pid == child:
                code = os.waitstatus_to_exitcode(raw)
                status = 128 - code if code < 0 else code
    return status


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
