"""The summary of a run, also where it reuses another run's results."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alignment.models import Chunk, Pair, Project, Rollout, Run, Stage, Status
from alignment.queries.demo import demo_summary
from tests.results.conftest import MakeEvaluation

START = datetime(2026, 1, 1, tzinfo=UTC)


def make_run(project: Project, name: str) -> Run:
    return Run.objects.create(
        project=project,
        name=name,
        config={"seed": 7},
        started_at=START,
        ended_at=START + timedelta(seconds=90.5),
    )


def add_stage(run: Run, position: int, round: int, kind: str, **fields: Any) -> Stage:
    return Stage.objects.create(
        run=run,
        position=position,
        round=round,
        kind=kind,
        config={},
        status=Status.SUCCEEDED,
        **fields,
    )


def finished_run(project: Project, make_evaluation: MakeEvaluation) -> Run:
    run = make_run(project, "r")
    start = add_stage(run, 0, 0, "evaluate")
    pair = add_stage(run, 1, 1, "pair", facts={"yield": {"taken": 1, "rollouts": 4}})
    add_stage(run, 2, 1, "train", facts={"loss_step1": 0.6931})
    after = add_stage(run, 3, 1, "evaluate")
    make_evaluation("r: start", [("a", "stop", [3, 1])], stage=start)
    make_evaluation("r: 1", [("a", "stop", [5, 1]), ("a", "stop", [5, 1])], stage=after)
    Chunk.objects.create(stage=start, index=0, items=[], size=1)
    chosen, rejected, _ = Rollout.objects.order_by("pk")
    Pair.objects.create(
        stage=pair, prompt=chosen.prompt, chosen=chosen, rejected=rejected, margin=0.5, gaps={}
    )
    return run


def test_a_run_is_summed_up(project: Project, make_evaluation: MakeEvaluation) -> None:
    summary = demo_summary(finished_run(project, make_evaluation))
    policies = summary.pop("policies")
    assert summary == {
        "rollouts": 3,
        "chunks": 1,
        "pairs": 1,
        "yield": {"1": {"rollouts": 4, "taken": 1}},
        "loss_step1": {"1": 0.6931},
        "seed": 7,
        "seconds": 90.5,
    }
    assert [p["name"] for p in policies] == ["start", "after round 1"]
    assert [p["hypervolume"] for p in policies] == [0.5, 1.0]
    assert policies[0]["rewards"]["helpful"] == {
        "mean": 0.5,
        "mean_ci": None,
        "pass_rate": 0.0,
        "pass_rate_ci": (0.0, pytest.approx(0.79345, abs=1e-5)),  # Wilson, none of one
    }
    assert policies[0]["joint_pass_rate"] == 0


def test_reused_stages_count_what_they_reuse(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    first = finished_run(project, make_evaluation)
    again = make_run(project, "again")
    for stage in first.stages.all():
        add_stage(again, stage.position, stage.round, stage.kind, reused_from=stage)
    assert demo_summary(again) == demo_summary(first)


def test_a_round_that_trained_nothing_has_no_figures_of_training(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    run = finished_run(project, make_evaluation)
    add_stage(run, 4, 2, "pair", reason="skipped: nothing was mined")
    add_stage(run, 5, 2, "train", reason="skipped: nothing was mined")
    add_stage(run, 6, 2, "evaluate", reused_from=run.stages.get(position=3))
    summary = demo_summary(run)
    assert summary["yield"]["2"] is None
    assert summary["loss_step1"] == {"1": 0.6931, "2": None}
    assert summary["policies"][2] == {**summary["policies"][1], "name": "after round 2"}
    assert summary["rollouts"] == 3


def test_an_unfinished_run_has_no_duration(project: Project) -> None:
    run = Run.objects.create(project=project, name="r", config={"seed": 1})
    assert demo_summary(run)["seconds"] is None
    assert demo_summary(run)["policies"] == []
