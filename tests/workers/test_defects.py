"""What nobody foresaw is told in a sentence; its traceback is kept apart, for who mends it."""

import threading
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from alignment.models import JudgeTrial, Run, Stage
from tests.builders import make_run, ready_project, running_stage
from workers import tasks, trials
from workers.child import Child, EngineError, defect
from workers.slots import Slot


@pytest.fixture
def run(transactional_db: None, owner: User, tmp_path: Path) -> Run:
    return make_run(ready_project(str(tmp_path)), owner)


def of_a_child() -> EngineError:
    """What a real child says of a call that lacks an argument."""
    child = Child({"engine": "rules"}, lambda line: None)
    try:
        with pytest.raises(EngineError) as raised:
            child.call("judge", {"rule": "refusal"}, stop=threading.Event())
        return raised.value
    finally:
        child.end()


def test_a_child_s_defect_is_a_stage_s_reason_in_a_sentence_and_its_traceback_apart(
    run: Run,
) -> None:
    stage = running_stage(run, 2)
    tasks.fail(stage.pk, of_a_child())
    failed = Stage.objects.get(pk=stage.pk)
    assert failed.reason.startswith("TypeError: judge() missing 2 required positional arguments")
    assert failed.reason.endswith("and the worker's log has its traceback")
    assert "Traceback" not in failed.reason and "\n" not in failed.reason
    assert failed.traceback.count("Traceback (most recent call last)") == 2, "worker's and child's"
    assert "workers/engines/child.py" in failed.traceback


def test_a_defect_s_own_words_are_one_line_and_bounded() -> None:
    words = defect(ValueError("first\n\n  second" + "x" * 10_000))
    assert words.startswith("ValueError: first secondxxx") and "\n" not in words
    assert len(words) < 450
    assert defect(KeyError()).startswith("KeyError: KeyError; this is a defect")


def test_a_defect_in_a_trial_is_told_in_a_sentence(run: Run) -> None:
    judge = run.project.judges.filter(engine="rules")[0]
    trial = JudgeTrial.objects.create(judge=judge, judge_version=1, items=[["no completion"]])
    trials._run(trial, Slot())
    trial.refresh_from_db()
    assert trial.state == "failed"
    assert trial.error.startswith("ValueError: not enough values to unpack")
    assert "Traceback" not in trial.error and "\n" not in trial.error


def test_words_that_the_database_cannot_hold_are_told_all_the_same(run: Run) -> None:
    stage = running_stage(run, 2)
    tasks.fail(stage.pk, ValueError("nul \0 and half \ud83d"))
    assert "nul \N{REPLACEMENT CHARACTER} and half" in Stage.objects.get(pk=stage.pk).reason
