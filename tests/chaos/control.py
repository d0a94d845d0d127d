"""The same sampling as plain Celery tasks with `acks_late` on Redis, under kills at random
instants: what it loses, doubles, and how long its chunks wait."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from mora_web.embedded import postgres, processes
from tests.chaos.console import free_port, until
from tests.chaos.percentiles import percentile
from tests.environment import BASE

CHUNKS, PROMPTS, N = 60, 2, 8
GAP_SECONDS = (1.0, 4.0)
VICTIMS = ("engine", "pool process", "worker", "broker")
TABLES = """
CREATE TABLE control_start (chunk int,
    at float8 DEFAULT extract(epoch FROM clock_timestamp()));
CREATE TABLE control_rollout (chunk int, prompt int, index int, text text,
    at float8 DEFAULT extract(epoch FROM clock_timestamp()));
"""


class Plain:
    """Two workers of one process each, as two GPU hosts, and a Redis that keeps its messages."""

    def __init__(self, var: Path, url: str, policy: Path) -> None:
        self.var, self.url, self.port = var, url, free_port()
        self.env = os.environ | {
            "CONTROL_BROKER": f"redis://127.0.0.1:{self.port}/0",
            "CONTROL_DATABASE": url,
            "CONTROL_POLICY": str(policy),
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        argv = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        argv += ["--appendonly", "yes", "--dir", str(self.var)]
        if name != "broker":
            argv = [sys.executable, "-m", "celery", "-A", "tests.chaos.control_tasks", "worker"]
            argv += ["-n", f"{name}@%h", "-c", "1", "--without-gossip", "--without-mingle"]
        with (self.var / "control.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                argv, cwd=BASE, env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    def victim(self, what: str, source: random.Random) -> tuple[str, int]:
        """Name and process to kill; 0 when there is none of that kind now."""
        name = "broker" if what == "broker" else source.choice(("one", "two"))
        main = self.running[name].pid
        if what in ("broker", "worker"):
            return name, main
        below = processes.descendants([main]) - {main}
        engines = {p for p in below if "workers.engines.child" in processes.arguments(p)[2:3]}
        pool = {p for p in below if "celery" in " ".join(processes.arguments(p))}
        return name, next(iter(engines if what == "engine" else pool), 0)

    def stop(self) -> None:
        for process in self.running.values():
            for pid in processes.descendants([process.pid]):
                processes.send(pid, signal.SIGKILL)
            process.wait()


def control(var: Path, policies: Path, kills: int, seed: int) -> dict[str, Any]:
    """Send all chunks at once, kill, wait until nothing comes any more; the numbers."""
    from tests.policy import sandbox_policy

    place = postgres.location(BASE)
    postgres.start(place)
    folder, _ = sandbox_policy(policies)
    plain = Plain(var, place.url, policies / folder)
    try:
        with psycopg.connect(place.url, autocommit=True) as database:
            database.execute(TABLES)
            for name in ("broker", "one", "two"):
                plain.start(name)
            until(lambda: _answers(plain.port), 20)
            return _measured(plain, database, kills, seed)
    finally:
        plain.stop()
        postgres.stop(place)


def _measured(plain: Plain, database: Any, kills: int, seed: int) -> dict[str, Any]:
    os.environ |= plain.env
    from tests.chaos.control_tasks import VISIBILITY_SECONDS, sample

    source, began = random.Random(seed), time.time()
    for chunk in range(CHUNKS):
        prompts = [f"How do I mend {chunk} chairs and {i} doors?" for i in range(PROMPTS)]
        seeds = [[1000 * chunk + 10 * i + n for n in range(N)] for i in range(PROMPTS)]
        sample.delay(chunk, prompts, seeds)
    until(lambda: _count(database, "SELECT count(*) FROM control_rollout"), 120)
    struck: list[tuple[str, float]] = []
    while len(struck) < kills and _done(database) < CHUNKS:
        time.sleep(source.uniform(*GAP_SECONDS))
        what = source.choice(VICTIMS)
        name, pid = plain.victim(what, source)
        if not pid:
            continue
        processes.send(pid, signal.SIGKILL)
        struck.append((what, time.time()))
        print(
            f"{len(struck)}/{kills} kills: {what}, {_done(database)} of {CHUNKS} chunks", flush=True
        )
        if what in ("worker", "broker"):
            plain.running[name].wait()
            time.sleep(0.5)
            plain.start(name)
    _wait_for_silence(database, 3 * VISIBILITY_SECONDS)
    rows = _count(database, "SELECT count(*) FROM control_rollout")
    distinct = "SELECT count(*) FROM (SELECT DISTINCT chunk, prompt, index FROM control_rollout) d"
    delays = _delays(database, [at for _, at in struck])
    return {
        "work": f"{CHUNKS} chunks of {PROMPTS * N} rollouts, acks_late, prefork, Redis with"
        f" appendonly, visibility_timeout {VISIBILITY_SECONDS} s (default 3,600)",
        "kills": len(struck),
        "lost": CHUNKS * PROMPTS * N - _count(database, distinct),
        "doubled": rows - _count(database, distinct),
        "lost_chunks": CHUNKS - _done(database),
        "reclaim_p50_s": percentile(delays, 0.5),
        "reclaim_p99_s": percentile(delays, 0.99),
        "reclaims": len(delays),
        "seconds": round(time.time() - began),
        "seed": seed,
        "strikes": {what: sum(w == what for w, _ in struck) for what in VICTIMS},
    }


def _delays(database: Any, kills: list[float]) -> list[float]:
    """From a kill to the next start of a chunk that was begun and not finished then."""
    delays = []
    for at in kills:
        rows = database.execute(
            "SELECT s.chunk, (SELECT min(n.at) FROM control_start n WHERE n.chunk = s.chunk"
            " AND n.at > %(at)s) - %(at)s FROM control_start s WHERE s.at <= %(at)s AND NOT EXISTS"
            " (SELECT 1 FROM control_rollout r WHERE r.chunk = s.chunk AND r.at <= %(at)s)"
            " GROUP BY s.chunk",
            {"at": at},
        ).fetchall()
        delays += [round(delay, 2) for _, delay in rows if delay is not None]
    return delays


def _wait_for_silence(database: Any, seconds: float) -> None:
    last, since = -1, time.monotonic()
    while _done(database) < CHUNKS and time.monotonic() - since < seconds:
        if (starts := _count(database, "SELECT count(*) FROM control_start")) != last:
            last, since = starts, time.monotonic()
        time.sleep(0.5)


def _done(database: Any) -> int:
    return _count(database, "SELECT count(DISTINCT chunk) FROM control_rollout")


def _count(database: Any, query: str) -> int:
    return int(database.execute(query).fetchone()[0])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
