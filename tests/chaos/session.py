"""One session of chaos: a console, an undisturbed run, shaken runs until enough was killed, and
the table of what was promised and what was measured."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

from tests.chaos.console import Console
from tests.chaos.percentiles import percentile

# When it stops killing, done or not, counted from the end of the undisturbed run.
FIRST_SECONDS, SECONDS_A_KILL = 60, 20
PROMISES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "lost": ("0", lambda n: n == 0),
    "doubled": ("0", lambda n: n == 0),
    "hash_equal": ("True", bool),
    "reclaim_p99_s": ("under 15", lambda n: n is None or n < 15),
    "redone_chunks_max": ("at most 1 a slot", lambda n: n <= 1),
    "cancel_p99_s": ("under 2", lambda n: n is None or n < 2),
    "death_p99_s": ("under 2", lambda n: n is None or n < 2),
    "orphans": ("0", lambda n: n == 0),
    "stale_writes": ("0", lambda n: n == 0),
    "failures": ("none", lambda n: not n),
}


def session(var: Path, policies: Path, kills: int, seed: int) -> dict[str, Any]:
    """Run it all; the numbers, with `broken` naming the promises that did not hold."""
    django.setup()
    from django.core.management import call_command

    from mora_web.embedded import postgres
    from tests.chaos import audit
    from tests.chaos.harness import Harness
    from tests.environment import BASE
    from tests.policy import sandbox_policy

    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    folder, digest = sandbox_policy(policies)
    postgres.start(postgres.location(BASE))  # the supervisor adopts it
    call_command("migrate", verbosity=0)
    audit.install()
    console = Console({**os.environ, "DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}, var)
    harness = Harness(console, (str(policies / folder), digest), seed, kills, say)
    try:
        harness.striker.start_all()
        console.wait_until_ready()
        harness.undisturbed()
        say(f"kinds of stages took {harness.lasted} s")
        say(f"the undisturbed run took {time.monotonic() - began:.0f} s with its start")
        harness.deadline = time.monotonic() + FIRST_SECONDS + SECONDS_A_KILL * kills
        number = 0
        while harness.striker.kills < kills and time.monotonic() < harness.deadline:
            number += 1
            harness.shaken(number)
            say(f"run {number}: outcome {'equal' if harness.found.equal[-1] else 'NOT EQUAL'}")
            if harness.found.failures:
                break
        for watch in harness.striker.dying:
            watch.join()
        numbers = measured(harness, seed)
    finally:
        console.down()
    numbers["orphans"] = orphans(console)
    numbers["seconds"] = round(time.monotonic() - began)
    numbers["broken"] = [n for n, (_, holds) in PROMISES.items() if not holds(numbers[n])]
    if harness.striker.kills < kills:
        numbers["broken"].append("kills")
    show(numbers)
    return numbers


def measured(harness: Any, seed: int) -> dict[str, Any]:
    found, striker = harness.found, harness.striker

    def p99(values: list[float]) -> float | None:
        value = percentile(values, 0.99)
        return None if value is None else round(value, 2)

    return {
        "kills": striker.kills,
        "lost": found.lost,
        "doubled": found.doubled,
        "hash_equal": bool(found.equal) and all(found.equal),
        "reclaim_p99_s": p99(found.reclaims),
        "redone_chunks_max": found.redone,
        "cancel_p99_s": p99(found.cancels),
        "orphans": 0,
        "stale_writes": found.stale_writes,
        "death_p99_s": p99(striker.deaths),
        "paused_reclaim_p99_s": p99(found.pauses),
        "redone_chunks_by_process_max": found.redone_by_process,
        "runs": found.runs,
        "seed": seed,
        "samples": {
            "reclaims": len(found.reclaims),
            "cancels": len(found.cancels),
            "deaths": len(striker.deaths),
            "pauses": len(found.pauses),
        },
        "strikes": dict(sorted(Counter(strike.what for strike in striker.done).items())),
        "stages": dict(sorted(harness.struck.items())),
        "failures": found.failures,
    }


def orphans(console: Console) -> int:
    """Processes left a moment after the console was stopped."""
    deadline = time.monotonic() + 1
    while (left := console.left()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid, command in left.items():
        print(f"left over: {pid} {' '.join(command)[:200]}", file=sys.stderr)
    return len(left)


def show(numbers: dict[str, Any]) -> None:
    rows = [("", "measured", "promised")]
    for name, (promise, _) in PROMISES.items():
        value = numbers[name]
        told = "; ".join(value) if isinstance(value, list) else str(value)
        rows.append((name, told or "none", promise))
    for row in rows:
        print("  ".join(cell.ljust(24) for cell in row).rstrip())
    print(f"{numbers['kills']} kills in {numbers['runs']} runs, {numbers['strikes']}")
    print("every promise holds" if not numbers["broken"] else f"broken: {numbers['broken']}")
