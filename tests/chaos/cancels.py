"""Measures how long after a cancel something still works for the run, grandchildren included."""

import time

from django.conf import settings

from alignment.models import Chunk, Run, Status
from alignment.services import runs
from mora_web.embedded import processes
from tests.chaos.project import reviewer

GIVE_UP_SECONDS = 20.0


def cancel(run: Run) -> tuple[float, str]:
    """Cancel the run; seconds from the call until no process that worked for it lives, and what
    lived longest."""
    family = working_for(run)
    last = ""
    began = time.monotonic()
    runs.cancel_run(run=run, by=reviewer())
    while (seconds := time.monotonic() - began) < GIVE_UP_SECONDS:
        family |= working_for(run)
        alive = {pid for pid in family if processes.is_running(pid)}
        holders = held_by(run)
        if not alive and not holders:
            break
        last = "; ".join(" ".join(processes.arguments(p))[-120:] for p in alive | holders)
        family |= processes.descendants(alive)
        time.sleep(0.02)
    return seconds, last


def held_by(run: Run) -> set[int]:
    """The living workers that hold a chunk of the run."""
    owners = Chunk.objects.filter(stage__run=run, state="claimed").values_list("owner", flat=True)
    return {pid for pid in (int(o.split("/")[1]) for o in owners) if processes.is_running(pid)}


def working_for(run: Run) -> set[int]:
    """The engines that worked under the claims held now, with all that they started."""
    held = Chunk.objects.filter(stage__run=run, state="claimed").values_list("pk", "fence")
    claims = {f"{chunk} {fence}" for chunk, fence in held}
    notes = settings.VAR / "engines"
    if not claims or not notes.exists():
        return set()
    lines = (line.rpartition(" ") for line in notes.read_text().splitlines())
    launchers = {int(pid) for claim, _, pid in lines if claim in claims}
    return processes.descendants({pid for pid in launchers if processes.is_running(pid)})


def take_up_again(run: Run, seconds: float = 30.0) -> None:
    """Retry a cancelled run, once its cancel is confirmed."""
    deadline = time.monotonic() + seconds
    while True:
        run.refresh_from_db()
        if run.status == Status.CANCELLED:
            return runs.retry_run(run=run, by=reviewer())
        if run.status == Status.SUCCEEDED or time.monotonic() > deadline:
            return None
        time.sleep(0.05)
