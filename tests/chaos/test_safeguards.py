"""The suite tests itself: with a safeguard taken out by a switch of the test, a check goes red that
is green with it. Real workers, a real sweeper, real children, killed and paused for real."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection

from alignment.models import Project, Run
from alignment.services import runs
from mora_web.embedded import processes
from tests.builders import make_run
from tests.chaos import audit
from tests.chaos.console import until
from tests.chaos.rules import MARK
from tests.chaos.sabotage import UNIQUE
from tests.conftest import Workers, wait_for_run

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("chaos")]
TAKE_UP_SECONDS = 25.0  # the second worker has to start, and to load the model for another chunk
GRANDCHILD = "sandbox-helpful-eval=tests.chaos.rules:helpful"


@pytest.fixture
def audited(transactional_db: None) -> Iterator[None]:
    audit.install()
    yield
    audit.remove()


@pytest.fixture
def workers_without(
    audited: None, make_workers: Callable[[str], Workers]
) -> Callable[[str], Workers]:
    """Workers, none started yet, from which a safeguard is taken out; "" takes out none."""

    def make(safeguard: str) -> Workers:
        workers = make_workers("filesystem://localhost//")
        workers.env |= {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "SABOTAGE": safeguard,
            "MORA_RULES": GRANDCHILD,
            "ENGINE_THREADS": "1",
        }
        return workers

    return make


def start(sandbox: Project, owner: User) -> Run:
    """A run whose first stage samples and scores the held-out prompts, two a chunk."""
    sample = {"n": 8, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64, "chunk_prompts": 2}
    run = make_run(sandbox, owner, sample=sample)
    runs.start_run(run=run, by=owner)
    return run


def claims(run: Run) -> list[audit.Held]:
    return audit.claims_of(run)


def held(run: Run) -> audit.Held | None:
    return next((claim for claim in claims(run) if claim.ended == "claimed"), None)


def first_claim(run: Run) -> audit.Held:
    until(lambda: held(run), 60)
    claim = held(run)
    assert claim is not None
    return claim


def grandchildren() -> set[int]:
    return {pid for pid in processes.all_pids() if processes.arguments(pid)[-1:] == [MARK]}


@pytest.mark.parametrize("safeguard", ["", "fence"])
def test_a_worker_paused_past_its_lease_writes_nothing_when_it_wakes(
    safeguard: str, sandbox: Project, owner: User, workers_without: Callable[[str], Workers]
) -> None:
    workers = workers_without(safeguard)
    run = start(sandbox, owner)
    workers.start("gpu", "sweeper")
    paused = first_claim(run)
    os.kill(paused.process, signal.SIGSTOP)
    chunk = run.stages.get(position=0).chunks.get(pk=paused.chunk)

    def becomes(state: str) -> bool:
        chunk.refresh_from_db()
        return chunk.state == state

    try:
        until(lambda: becomes("open"), 20)
    finally:
        os.kill(paused.process, signal.SIGCONT)
    until(lambda: becomes("done"), 60)
    assert (audit.stale_writes(run) > 0) == (safeguard == "fence")
    assert chunk.fence == (1 if safeguard else 2)


@pytest.mark.parametrize("safeguard", ["", "sweeper"])
def test_a_killed_workers_chunk_is_taken_up_by_another(
    safeguard: str, sandbox: Project, owner: User, workers_without: Callable[[str], Workers]
) -> None:
    workers = workers_without(safeguard)
    run = start(sandbox, owner)
    workers.start("gpu", "sweeper")
    lost = first_claim(run)
    killed = time.monotonic()
    workers.kill("gpu")
    workers.start("gpu-2")

    def taken_up() -> bool:
        return any(c.chunk == lost.chunk and c.fence > lost.fence for c in claims(run))

    while not taken_up() and time.monotonic() - killed < TAKE_UP_SECONDS:
        time.sleep(0.1)
    assert taken_up() == (safeguard == "")


@pytest.mark.parametrize("safeguard", ["", "group"])
def test_a_killed_workers_grandchildren_go_with_it(
    safeguard: str, sandbox: Project, owner: User, workers_without: Callable[[str], Workers]
) -> None:
    before = grandchildren()
    workers = workers_without(safeguard)
    start(sandbox, owner)
    workers.start("gpu")
    until(lambda: grandchildren() - before, 90)
    workers.kill("gpu")
    time.sleep(2)
    left = grandchildren() - before
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert bool(left) == (safeguard == "group")


@pytest.fixture
def without_constraints(audited: None) -> Iterator[None]:
    """The ledger without its uniqueness, put back when its rows are gone."""
    definitions = []
    with connection.cursor() as cursor:
        for table, name in UNIQUE:
            cursor.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [name]
            )
            definitions.append((table, name, cursor.fetchone()[0]))
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE alignment_run, alignment_sampling CASCADE")
        for table, name, definition in definitions:
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


def test_without_uniqueness_a_stage_planned_twice_doubles_its_rollouts(
    sandbox: Project,
    owner: User,
    workers_without: Callable[[str], Workers],
    without_constraints: None,
) -> None:
    workers = workers_without("unique")
    run = start(sandbox, owner)
    workers.start("gpu")
    until(lambda: audit.doubled(run).get("rollouts"), 90)
    workers.stop()


def test_with_uniqueness_a_stage_planned_twice_fails_and_says_so(
    sandbox: Project, owner: User, workers_without: Callable[[str], Workers]
) -> None:
    workers = workers_without("unique")
    run = start(sandbox, owner)
    workers.start("gpu")
    wait_for_run(run, 60)
    assert (run.status, audit.doubled(run)) == ("failed", {})
    assert "one_chunk" in run.stages.get(position=0).reason
