"""Faults of the world around a run: it goes on by itself, or stops in a named state that a retry
resumes, and says why. docs/operations.md lists them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection

from alignment.models import Chunk, Project, Run, Stage
from alignment.services import runs
from tests.builders import make_run
from tests.chaos.console import until
from tests.conftest import Workers, wait_for_run

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("chaos")]
Make = Callable[[str], Workers]
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def start(sandbox: Project, owner: User) -> Run:
    sample = {"n": 8, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64, "chunk_prompts": 4}
    run = make_run(sandbox, owner, sample=sample)
    runs.start_run(run=run, by=owner)
    return run


def first_stage(run: Run) -> Stage:
    return run.stages.get(position=0)


def wait_for_first_stage(run: Run, status: str, seconds: float = 60) -> Stage:
    try:
        until(lambda: first_stage(run).status == status, seconds)
    except TimeoutError:
        stage = first_stage(run)
        pytest.fail(f"{stage.status} instead of {status}: {stage.reason} {stage.traceback}")
    return first_stage(run)


@pytest.fixture
def full_disk(transactional_db: None) -> Iterator[Callable[[], None]]:
    """The database answers every new rollout as it does when its disk is full, until freed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;"
            "CREATE TRIGGER disk_is_full BEFORE INSERT ON alignment_rollout"
            " EXECUTE FUNCTION disk_is_full()"
        )

    def free() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION IF EXISTS disk_is_full CASCADE")

    yield free
    free()


def test_a_full_disk_of_the_database_is_told_and_a_retry_goes_on(
    sandbox: Project,
    owner: User,
    make_workers: Make,
    full_disk: Callable[[], None],
) -> None:
    make_workers("filesystem://localhost//").start("gpu", "sweeper")
    run = start(sandbox, owner)
    wait_for_run(run, 60, until=("failed",))
    sentence = "the disk of the database is full; free some space, then retry"
    assert first_stage(run).reason == sentence
    full_disk()
    until(lambda: not Chunk.objects.filter(state="claimed").exists(), 10)
    runs.retry_run(run=run, by=owner)
    wait_for_first_stage(run, "succeeded")


def test_a_child_that_runs_out_of_memory_is_given_up_and_a_retry_goes_on(
    sandbox: Project, owner: User, make_workers: Make
) -> None:
    workers = make_workers("filesystem://localhost//")
    workers.env["MORA_RULES"] = "sandbox-helpful-eval=tests.chaos.rules:out_of_memory"
    workers.start("gpu", "sweeper")
    run = start(sandbox, owner)
    wait_for_run(run, 90, until=("failed",))
    reason = first_stage(run).reason
    assert reason.startswith("chunk 1.0 was given up after 3 attempts: the engine's process was")
    assert reason.endswith("ended by SIGKILL; out of memory is the usual cause")
    workers.stop()
    workers.env["MORA_RULES"] = ""
    workers.start("gpu", "sweeper")
    runs.retry_run(run=run, by=owner)
    wait_for_first_stage(run, "succeeded")


def test_connections_cut_again_and_again_change_nothing(
    sandbox: Project, owner: User, make_workers: Make
) -> None:
    make_workers("filesystem://localhost//").start("gpu", "sweeper")
    run = start(sandbox, owner)
    until(lambda: Chunk.objects.filter(state="claimed").exists(), 60)
    for _ in range(5):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        time.sleep(1)
    stage = wait_for_first_stage(run, "succeeded")
    assert stage.sampling.rollouts.count() == stage.facts["rollouts"] == 8 * 4


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is missing (Debian: faketime)")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_workers_clock_that_is_wrong_changes_nothing(
    hours: int, sandbox: Project, owner: User, make_workers: Make
) -> None:
    workers = make_workers("filesystem://localhost//")
    right = dict(workers.env)
    workers.env |= {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME": f"{hours:+d}h",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    workers.start("gpu")
    workers.env.clear()
    workers.env |= right
    workers.start("gpu-2", "sweeper")
    run = start(sandbox, owner)
    stage = wait_for_first_stage(run, "succeeded", 90)
    assert set(stage.chunks.values_list("fence", flat=True)) == {1}, "a lease was taken for over"
