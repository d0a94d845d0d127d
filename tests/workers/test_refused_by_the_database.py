"""A database that answers with an error is not one that is away: the stage fails and says why."""

from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection
from psycopg import errors

from alignment.models import Run, Stage
from alignment.services import runs
from tests.builders import make_run, ready_project, running_stage
from workers import claims, stages, tasks
from workers.slots import Slot


@pytest.fixture
def run(transactional_db: None, owner: User, tmp_path: Path) -> Run:
    return make_run(ready_project(str(tmp_path)), owner)


def too_slow(_: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)")


def cut_off(_: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_planning_that_the_database_refuses_fails_its_stage(
    run: Run, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.start_run(run=run, by=owner)
    monkeypatch.setattr(stages, "plan", too_slow)
    tasks.begin(run.stages.order_by("position")[0])
    stage = run.stages.order_by("position")[0]
    assert (stage.status, "canceling statement due to statement timeout" in stage.reason) == (
        "failed",
        True,
    )


def test_planning_that_lost_its_connection_is_left_for_the_next_helper(
    run: Run, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.start_run(run=run, by=owner)
    monkeypatch.setattr(stages, "plan", cut_off)
    with pytest.raises(OperationalError):
        tasks.begin(run.stages.order_by("position")[0])
    connection.close()
    assert run.stages.order_by("position")[0].status == "queued"


def test_work_that_the_database_refuses_fails_its_stage_and_frees_the_chunk(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = running_stage(run, 2)
    claim = claims.claim(stage.pk, "me")
    assert claim is not None
    slow = replace(stages.HANDLERS[stage.kind], work=lambda job: lambda: too_slow(job))
    monkeypatch.setitem(stages.HANDLERS, stage.kind, slow)
    tasks.work_on(claim, Slot())
    assert Stage.objects.get(pk=stage.pk).status == "failed"
    assert set(stage.chunks.values_list("state", flat=True)) == {"open"}


@pytest.mark.parametrize(
    ("cause", "away"),
    [
        (None, True),
        (errors.AdminShutdown(), True),
        (errors.CannotConnectNow(), True),
        (errors.TooManyConnections(), True),
        (errors.DeadlockDetected(), True),
        (errors.DiskFull(), False),
        (errors.OutOfMemory(), False),
        (errors.QueryCanceled(), False),
    ],
)
def test_what_passes_by_itself_is_told_from_what_does_not(
    cause: Exception | None, away: bool
) -> None:
    error = OperationalError()
    error.__cause__ = cause
    assert tasks._is_away(error) is away
    assert tasks._is_away(InterfaceError())
    assert not tasks._is_away(ValueError())
