"""A judge of the sandbox whose process starts a grandchild in a session of its own that ignores
SIGTERM, as the ranks of an elastic launcher may; and one that runs out of memory. Loaded by
MORA_RULES."""

import os
import signal
import subprocess
import sys

from workers.sandbox import judges

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(900)"
MARK = "chaos-grandchild"
_started: list["subprocess.Popen[bytes]"] = []


def helpful(prompt: str, completion: str) -> tuple[float | None, str]:
    if not _started:
        argv = [sys.executable, "-S", "-c", STUBBORN, MARK]
        _started.append(subprocess.Popen(argv, start_new_session=True))
    return judges.helpful(prompt, completion)


def out_of_memory(prompt: str, completion: str) -> tuple[float | None, str]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")
