"""The chunk ledger: one holder a chunk, and no write by one who no longer holds it."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.models import Chunk, Run, Stage, Status
from tests.builders import make_run, ready_project, running_stage
from workers import claims, sweeper


@pytest.fixture
def run(db: None, owner: User, tmp_path: Path) -> Run:
    return make_run(ready_project(str(tmp_path)), owner)


def nothing() -> None:
    pass


def succeed(stage: Stage) -> None:
    lifecycle.move(stage, Status.SUCCEEDED)


def held(stage: Stage) -> claims.Claim:
    claim = claims.claim(stage.pk, "me")
    assert claim is not None
    return claim


def expire(claim: claims.Claim) -> None:
    Chunk.objects.filter(pk=claim.chunk).update(lease_expires_at=Now() - timedelta(seconds=1))
    sweeper.open_expired_chunks()


def test_chunks_are_claimed_in_order_and_once(run: Run) -> None:
    stage = running_stage(run, 3)
    assert [held(stage).index for _ in range(3)] == [0, 1, 2]
    assert claims.claim(stage.pk, "me") is None


def test_a_part_opens_when_the_one_before_it_is_done(run: Run) -> None:
    stage = running_stage(run, 2, parts=2)
    first, second = held(stage), held(stage)
    claims.close(first, nothing, succeed)
    assert claims.claim(stage.pk, "me") is None
    claims.close(second, nothing, succeed)
    assert held(stage).part == 1


def test_the_last_chunk_closed_finishes_the_stage(run: Run) -> None:
    stage = running_stage(run, 2)
    first, second = held(stage), held(stage)
    claims.close(second, nothing, succeed)
    stage.refresh_from_db()
    assert (stage.status, stage.done) == (Status.RUNNING, 1)
    claims.close(first, nothing, succeed)
    stage.refresh_from_db()
    assert (stage.status, stage.done) == (Status.SUCCEEDED, 2)


def test_a_stage_that_does_not_run_gives_no_chunk(run: Run) -> None:
    stage = running_stage(run, 1)
    Stage.objects.filter(pk=stage.pk).update(status=Status.CANCELLING)
    assert claims.claim(stage.pk, "me") is None


def test_a_claim_whose_lease_ran_out_writes_nothing(run: Run) -> None:
    stage = running_stage(run, 1)
    stale = held(stage)
    expire(stale)
    assert not claims.renew(stale)
    with pytest.raises(claims.Fenced):
        claims.close(stale, lambda: pytest.fail("wrote without a claim"), succeed)
    current = held(stage)
    assert current.fence == stale.fence + 1
    with pytest.raises(claims.Fenced):
        claims.close(stale, lambda: pytest.fail("wrote over another's claim"), succeed)
    claims.give_back(stale)
    assert Chunk.objects.get(pk=current.chunk).state == "claimed"


def test_a_chunk_is_not_closed_twice(run: Run) -> None:
    stage = running_stage(run, 2)
    claim = held(stage)
    claims.close(claim, nothing, succeed)
    with pytest.raises(claims.Fenced):
        claims.close(claim, lambda: pytest.fail("wrote twice"), succeed)


def test_a_failed_write_leaves_the_chunk_claimed(run: Run) -> None:
    stage = running_stage(run, 1)
    claim = held(stage)

    def broken() -> None:
        stage.log_lines.create(text="half")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        claims.close(claim, broken, succeed)
    assert not stage.log_lines.exists()
    assert Chunk.objects.get(pk=claim.chunk).state == "claimed"


def test_the_third_death_of_a_child_fails_the_chunk_and_says_why(run: Run) -> None:
    stage = running_stage(run, 1)
    assert claims.count_death(held(stage), "ended by SIGKILL") == ""
    assert claims.count_death(held(stage), "ended by SIGKILL") == ""
    sentence = claims.count_death(held(stage), "ended by SIGKILL")
    assert sentence == "chunk 0.0 was given up after 3 attempts: ended by SIGKILL"
    assert Chunk.objects.get(stage=stage).state == "failed"


def test_a_cancelling_stage_ends_when_its_last_claim_is_given_back(run: Run) -> None:
    stage = running_stage(run, 2)
    claim = held(stage)
    lifecycle.cancel(run)
    stage.refresh_from_db()
    assert stage.status == Status.CANCELLING
    claims.give_back(claim)
    stage.refresh_from_db()
    assert stage.status == Status.CANCELLED


def test_a_cancelling_stage_whose_worker_died_ends_by_the_sweeper(run: Run) -> None:
    stage = running_stage(run, 1)
    claim = held(stage)
    lifecycle.cancel(run)
    expire(claim)
    sweeper.confirm_cancels()
    stage.refresh_from_db()
    assert stage.status == Status.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_hold_the_same_chunk(owner: User, tmp_path: Path) -> None:
    stage = running_stage(make_run(ready_project(str(tmp_path)), owner), 60)
    taken: list[int] = []
    finished: list[int] = []

    def finish(stage: Stage) -> None:
        succeed(stage)
        finished.append(stage.pk)

    def work() -> None:
        while claim := claims.claim(stage.pk, threading.current_thread().name):
            claims.close(claim, nothing, finish)
            taken.append(claim.index)
        connection.close()

    _together(work, 4)
    assert sorted(taken) == list(range(60))
    assert finished == [stage.pk]
    stage.refresh_from_db()
    assert stage.done == 60


@pytest.mark.django_db(transaction=True)
def test_cancelling_while_chunks_close_ends_without_a_deadlock(owner: User, tmp_path: Path) -> None:
    project = ready_project(str(tmp_path))
    for number in range(5):
        run = make_run(project, owner, name=f"run {number}")
        stage = running_stage(run, 20)
        cancel = threading.Timer(0.02, _and_close(lifecycle.cancel), [run])
        cancel.start()

        def work(stage: Stage = stage) -> None:
            while claim := claims.claim(stage.pk, "me"):
                claims.close(claim, nothing, succeed)
            connection.close()

        _together(work, 3)
        cancel.join()
        run.refresh_from_db()
        assert run.status == Status.CANCELLED


def _and_close(function: Callable[[Run], None]) -> Callable[[Run], None]:
    def call(run: Run) -> None:
        function(run)
        connection.close()

    return call


def _together(work: Callable[[], None], count: int) -> None:
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
            connection.close()

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_lease_from_before_the_clock_went_back_ends_all_the_same(run: Run) -> None:
    stage = running_stage(run, 2)
    lives, is_dead = held(stage), held(stage)
    Chunk.objects.update(lease_expires_at=Now() + timedelta(hours=1))
    sweeper.open_expired_chunks()
    assert claims.renew(lives), "a worker that lives keeps its claim"
    ends = Now() + timedelta(seconds=claims.LEASE_SECONDS)
    assert Chunk.objects.filter(pk=is_dead.chunk, lease_expires_at__lte=ends).exists()
