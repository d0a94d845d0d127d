"""Runs that are at work together: one does what is the same in both, and no stage takes rows that
were made from others than its run has."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from alignment import lifecycle
from alignment.models import Run, Stage, Status
from alignment.queries.hold_ups import hold_ups
from tests.builders import make_run, ready_project
from workers import sweeper

S = Status
Make = Callable[..., Run]


@pytest.fixture
def make(db: None, owner: User, tmp_path: Path) -> Make:
    project = ready_project(str(tmp_path))
    return lambda name, **changes: make_run(project, owner, name=name, **changes)


def stage_of(run: Run, kind: str, number: int = 1) -> Stage:
    return run.stages.get(kind=kind, round=number)


def go(stage: Stage) -> None:
    lifecycle.move(stage, S.RUNNING)


def end(stage: Stage) -> None:
    """End a stage that is at work, and hand its run on."""
    lifecycle.succeed(stage)
    lifecycle.advance(stage.run)


@pytest.fixture
def two_started(make: Make) -> tuple[Run, Run]:
    """Two runs that differ in their training alone, started at once: the first evaluates."""
    one, two = make("one"), make("two", train={"pairs_share": 0.5})
    for run in (one, two):
        lifecycle.advance(run)
        run.refresh_from_db()
    go(stage_of(one, "evaluate", 0))
    return one, two


WAITS = "waits for run one, which is at work on the same"


def test_a_stage_waits_for_the_run_that_does_the_same_and_takes_its_rows(
    two_started: tuple[Run, Run],
) -> None:
    one, two = two_started
    mine, waits = stage_of(one, "evaluate", 0), stage_of(two, "evaluate", 0)
    assert (mine.status, waits.status, waits.reason) == (S.RUNNING, S.PENDING, WAITS)
    assert (two.status, hold_ups(two)) == (S.QUEUED, [f"It {WAITS}."])
    assert two.events.filter(data__status="pending", kind="stage").count() == 1
    sweeper.advance_runs()
    assert two.events.filter(data__status="pending", kind="stage").count() == 1, "told once"
    end(mine)
    sweeper.advance_runs()
    waits.refresh_from_db()
    assert (waits.status, waits.reused_from, waits.reason) == (
        S.SUCCEEDED, mine, "reused from run one",
    )  # fmt: skip
    two.refresh_from_db()
    assert (stage_of(two, "sample").reason, two.status) == (WAITS, S.RUNNING)


@pytest.mark.parametrize("ending", ["cancel", "fail"])
def test_a_stage_that_waited_is_done_when_the_other_run_does_not_end_it(
    two_started: tuple[Run, Run], ending: str
) -> None:
    one, two = two_started
    if ending == "cancel":
        lifecycle.cancel(one)
    else:
        lifecycle.fail(stage_of(one, "evaluate", 0), "poisoned")
    sweeper.advance_runs()
    waited = stage_of(two, "evaluate", 0)
    assert (waited.status, waited.reason) == (S.QUEUED, "")


def test_a_run_that_waits_can_be_cancelled_and_taken_up_again(
    two_started: tuple[Run, Run],
) -> None:
    _, two = two_started
    lifecycle.cancel(two)
    two.refresh_from_db()
    assert two.status == S.CANCELLED
    lifecycle.retry(two)
    two.refresh_from_db()
    assert (two.status, stage_of(two, "evaluate", 0).reason) == (S.QUEUED, WAITS)


def test_a_retried_stage_takes_what_another_run_has_finished_meanwhile(
    two_started: tuple[Run, Run],
) -> None:
    one, two = two_started
    mine = stage_of(one, "evaluate", 0)
    mine.chunks.create(index=0, items=[1], size=1, state="failed", attempts=3)
    lifecycle.fail(mine, "poisoned")
    sweeper.advance_runs()
    other = stage_of(two, "evaluate", 0)
    go(other)
    lifecycle.retry(one)
    mine.refresh_from_db()
    assert (mine.status, mine.reason) == (
        S.PENDING, "waits for run two, which is at work on the same",
    )  # fmt: skip
    end(other)
    sweeper.advance_runs()
    mine.refresh_from_db()
    assert (mine.status, mine.reused_from) == (S.SUCCEEDED, other)


def test_what_is_finished_is_taken_though_another_run_does_it_again(
    two_started: tuple[Run, Run], make: Make
) -> None:
    one, two = two_started
    lifecycle.cancel(two)
    end(stage_of(one, "evaluate", 0))
    again = stage_of(two, "evaluate", 0)
    Stage.objects.filter(pk=again.pk).update(  # as a retry of what it had begun leaves it
        status=S.RUNNING, fingerprint=stage_of(one, "evaluate", 0).fingerprint
    )
    three = make("three", train={"pairs_share": 0.25})
    lifecycle.advance(three)
    assert stage_of(three, "evaluate", 0).reused_from == stage_of(one, "evaluate", 0)


@pytest.fixture
def both_sampled(make: Make) -> tuple[Run, Run]:
    """Two runs that sampled the same, each for itself."""
    one, two = make("one"), make("two", train={"pairs_share": 0.5})
    for run in (one, two):
        for kind, number in (("evaluate", 0), ("sample", 1)):
            stage = stage_of(run, kind, number)
            lifecycle.move(stage, S.QUEUED, fingerprint=f"{kind} of both")
            lifecycle.move(stage, S.RUNNING)
            lifecycle.move(stage, S.SUCCEEDED)
    return one, two


def score_both(one: Run, two: Run) -> None:
    for run in (one, two):
        lifecycle.advance(run)
        score = stage_of(run, "score")
        assert (score.status, score.reused_from) == (S.QUEUED, None)
        go(score)
        lifecycle.move(score, S.SUCCEEDED)


def test_scores_of_another_runs_rollouts_are_not_taken_for_those_of_ones_own(
    both_sampled: tuple[Run, Run],
) -> None:
    one, two = both_sampled
    score_both(one, two)
    assert stage_of(one, "score").fingerprint == stage_of(two, "score").fingerprint


def test_of_equal_stages_the_one_that_read_the_rows_at_hand_is_taken(
    make: Make, both_sampled: tuple[Run, Run]
) -> None:
    one, two = both_sampled
    score_both(one, two)
    three = make("three", mine={"joint_at_most": 0.2})
    stage = stage_of(three, "evaluate", 0)
    sampled = stage_of(three, "sample")
    for own, kind, number in ((stage, "evaluate", 0), (sampled, "sample", 1)):
        twin = stage_of(one, kind, number)
        lifecycle.move(own, S.SUCCEEDED, fingerprint=twin.fingerprint, reused_from=twin)
    lifecycle.advance(three)
    assert stage_of(three, "score").reused_from == stage_of(one, "score"), "not the newest"
