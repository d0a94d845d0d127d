"""Status moves: only those of the table, each exactly once, each with its event."""

import threading
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection

from alignment import lifecycle
from alignment.fingerprints import fingerprint_of
from alignment.method.errors import MoraError
from alignment.method.plan import VERSIONS
from alignment.models import Prompt, Run, Stage, Status
from alignment.services import runs
from tests.builders import make_run, ready_project
from workers import sweeper

S = Status


@pytest.fixture
def run(db: None, owner: User, tmp_path: Path) -> Run:
    return make_run(ready_project(str(tmp_path)), owner)


def first(run: Run) -> Stage:
    return run.stages.order_by("position")[0]


def test_a_move_outside_the_table_is_refused(run: Run) -> None:
    stage = first(run)
    with pytest.raises(lifecycle.Stale, match="a pending stage cannot become failed"):
        lifecycle.move(stage, S.FAILED)


def test_of_two_who_read_the_same_status_one_moves_the_stage(run: Run) -> None:
    mine, other = first(run), first(run)
    lifecycle.move(mine, S.QUEUED)
    before = Run.objects.get(pk=run.pk).seq
    with pytest.raises(lifecycle.Stale, match="no longer pending"):
        lifecycle.move(other, S.QUEUED)
    assert Run.objects.get(pk=run.pk).seq == before


def test_a_move_writes_the_event_and_the_runs_status(run: Run) -> None:
    stage = first(run)
    lifecycle.move(stage, S.QUEUED)
    lifecycle.move(stage, S.RUNNING)
    run.refresh_from_db()
    assert (run.status, run.started_at is not None) == (S.RUNNING, True)
    assert [e.data["status"] for e in run.events.filter(kind="stage")] == ["queued", "running"]
    assert [e.seq for e in run.events.all()] == list(range(1, run.seq + 1))


@pytest.mark.parametrize(
    ("stages", "status"),
    [
        ({S.PENDING}, S.PENDING),
        ({S.SUCCEEDED, S.PENDING}, S.RUNNING),
        ({S.SUCCEEDED, S.WAITING, S.PENDING}, S.WAITING),
        ({S.SUCCEEDED, S.FAILED, S.PENDING}, S.FAILED),
        ({S.SUCCEEDED, S.CANCELLING, S.CANCELLED}, S.CANCELLING),
        ({S.SUCCEEDED, S.CANCELLED}, S.CANCELLED),
        ({S.SUCCEEDED}, S.SUCCEEDED),
        ({S.QUEUED, S.PENDING}, S.QUEUED),
    ],
)
def test_a_run_stands_as_its_stages_do(stages: set[str], status: str) -> None:
    assert lifecycle._status_of(stages) == status


def test_cancel_ends_everything_that_nobody_works_on(run: Run) -> None:
    lifecycle.advance(run)
    lifecycle.cancel(run)
    run.refresh_from_db()
    assert set(run.stages.values_list("status", flat=True)) == {S.CANCELLED}
    assert run.status == S.CANCELLED
    assert run.ended_at is not None


def test_a_cancelled_run_goes_on_when_retried(run: Run) -> None:
    lifecycle.advance(run)
    lifecycle.cancel(run)
    lifecycle.retry(run)
    run.refresh_from_db()
    assert first(run).status == S.QUEUED
    assert (run.status, run.ended_at) == (S.QUEUED, None)


def test_a_cancel_that_was_cut_off_is_finished_by_the_sweeper(run: Run) -> None:
    lifecycle.advance(run)
    last = run.stages.order_by("position").last()
    assert last is not None
    lifecycle.move(last, S.CANCELLED)
    run.refresh_from_db()
    assert (run.status, first(run).status) == (S.CANCELLED, S.QUEUED)
    sweeper.sweep()
    assert set(run.stages.values_list("status", flat=True)) == {S.CANCELLED}


def test_a_failed_stage_is_queued_again_by_retry_and_keeps_its_finished_chunks(run: Run) -> None:
    stage = first(run)
    lifecycle.move(stage, S.QUEUED)
    lifecycle.move(stage, S.RUNNING)
    done = stage.chunks.create(index=0, items=[1], size=1, state="done")
    failed = stage.chunks.create(index=1, items=[2], size=1, state="failed", attempts=3)
    lifecycle.fail(stage, "poisoned")
    lifecycle.retry(run)
    done.refresh_from_db()
    failed.refresh_from_db()
    assert (done.state, failed.state, failed.attempts) == ("done", "open", 0)
    assert first(run).status == S.QUEUED
    assert first(run).reason == ""


@pytest.mark.parametrize("changed", ["judge", "nothing"])
def test_a_run_is_not_retried_over_judges_that_are_not_as_they_were(
    run: Run, owner: User, changed: str
) -> None:
    stages = list(run.stages.order_by("position"))
    for i, stage in enumerate(stages[:3]):
        fingerprint = fingerprint_of(stage, stages[:i])
        stage.status, stage.fingerprint = S.SUCCEEDED, fingerprint
        stage.version = VERSIONS[stage.kind]
        stage.save()
    lifecycle.move(stages[3], S.QUEUED)
    lifecycle.fail(stages[3], "poisoned")
    if changed == "judge":
        run.project.judges.filter(name="sandbox-helpful").update(version=2)
    Prompt.objects.filter(prompt_set__name="mixed")[0].delete()  # sampling is over
    if changed == "nothing":
        runs.retry_run(run=run, by=owner)
    else:
        with pytest.raises(MoraError, match="is not as it was, and results of both are not mixed"):
            runs.retry_run(run=run, by=owner)


@pytest.mark.django_db(transaction=True)
def test_events_of_concurrent_writers_are_numbered_without_a_gap(
    owner: User, tmp_path: Path
) -> None:
    run = make_run(ready_project(str(tmp_path)), owner)

    def write() -> None:
        for _ in range(25):
            lifecycle.emit(run.pk, "progress", {})
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(run.events.values_list("seq", flat=True)) == list(range(1, 102))


def test_an_empty_round_skips_to_its_evaluation_and_says_why(run: Run) -> None:
    for stage in run.stages.filter(position__lte=3):
        empty = stage.kind == "mine"
        reason = "nothing mined from 6 prompts" if empty else ""
        Stage.objects.filter(pk=stage.pk).update(
            status=S.SUCCEEDED, empty=empty, reason=reason, fingerprint=stage.kind
        )
    lifecycle.advance(run)
    found = {s.kind: (s.status, s.reason) for s in run.stages.filter(position__gt=3)}
    skipped = (S.SUCCEEDED, "skipped: nothing mined from 6 prompts")
    for kind in ("rewrite", "review", "resample", "rescore", "pair", "train"):
        assert found[kind] == skipped
    assert found["evaluate"][0] == S.QUEUED
