"""`make chaos`: kills, pauses and cancels at random instants, and what came of it.

Starts a console of its own in a folder of its own. Exit status 0 only when every promise holds.
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent.parent
RESULTS = BASE / "bench" / "results"
# Where the tests keep the sandbox's policy.
POLICIES = Path(os.environ.get("MORA_TEST_VAR") or BASE / "var" / "test") / "artifacts"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--control", action="store_true", help="plain Celery under the same kills")
    parser.add_argument("--output", type=Path, help="where the numbers go, as JSON")
    parser.add_argument("--var", type=Path, default=BASE / "var" / "chaos", help="its folder")
    asked = parser.parse_args()
    var = asked.var.resolve()
    surroundings(var)
    print(f"seed {asked.seed}, {asked.kills} kills, everything in {var}", flush=True)
    if asked.control:
        from tests.chaos.control import control as measured
    else:
        from tests.chaos.session import session as measured
    numbers = measured(var, POLICIES, asked.kills, asked.seed)
    output = asked.output or RESULTS / ("chaos_control.json" if asked.control else "chaos.json")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(numbers, indent=2) + "\n")
    print(f"written to {output}")
    if asked.control:
        print(json.dumps(numbers, indent=2))
    return 0 if asked.control or not numbers["broken"] else 1


def surroundings(var: Path) -> None:
    """An empty folder and an environment in which everything started belongs to it."""
    shutil.rmtree(var, ignore_errors=True)
    var.mkdir(parents=True)
    for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
        os.environ.pop(name, None)
    os.environ |= {
        "MORA_VAR": str(var),
        "MORA_TEST_VAR": str(var),  # what tests.environment makes of MORA_VAR
        "MORA_ARTIFACTS": str(var / "artifacts"),
        "MODEL_ROOTS": str(POLICIES),
        "MORA_RULES": "sandbox-helpful=tests.chaos.rules:helpful",
        "ENGINE_THREADS": "1",
        "SECRET_KEY": "chaos",
        "DJANGO_SETTINGS_MODULE": "mora_web.settings",
    }


if __name__ == "__main__":
    began = time.monotonic()
    status = main()
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(status)
