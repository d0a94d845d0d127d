"""The sandbox's start policy, built once per source of the sandbox and kept between test runs."""

import fcntl
import json
import threading
from hashlib import sha256
from pathlib import Path

from tests.environment import BASE
from workers.child import Child


def sandbox_policy(artifacts: Path) -> tuple[str, str]:
    """Name of the policy's folder below `artifacts`, and SHA-256 of its weights."""
    sources = sorted((BASE / "workers" / "sandbox").glob("*.py"))
    digest = sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    path = artifacts / f"sandbox-{digest}"
    artifacts.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        facts = path.with_suffix(".json")
        if not facts.exists():
            child = Child({"engine": "sandbox-builder", "threads": 1}, lambda line: None)
            args = {"directory": str(path), "seed": 1}
            built = child.call("build", args, stop=threading.Event())
            child.end()
            facts.write_text(json.dumps(built))
        return path.name, json.loads(facts.read_text())["sha256"]
