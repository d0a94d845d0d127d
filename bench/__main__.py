"""`python -m bench`: measure, and write bench/results/latest.json."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import replay, review
from bench.surroundings import machine

RESULTS = Path(__file__).resolve().parent / "results" / "latest.json"
MEASUREMENTS = {"replay": replay.measure, "review": review.measure}


def main(names: list[str]) -> None:
    """Run the measurements named, or all; figures of the others stay as they are."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or MEASUREMENTS:
        before = machine()
        at = datetime.now(UTC).isoformat(timespec="seconds")
        found |= MEASUREMENTS[name]()
        found.setdefault("measured", {})[name] = {"at": at, **before}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(RESULTS.read_text())


main(sys.argv[1:])
