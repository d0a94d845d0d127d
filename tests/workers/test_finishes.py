"""How stages end that found nothing to go on with, and on which prompts policies are evaluated."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from alignment import lifecycle
from alignment.models import Policy, Prompt, Rollout, Run, Sampling, Score, Stage, Status
from tests.builders import add_prompts, make_run, ready_project
from workers import stages
from workers.stages import evaluating, pairing, scoring

SAID = {"reply": "about a four", "reason": "the reply is not JSON"}


@pytest.fixture
def run(db: None, owner: User, tmp_path: Path) -> Run:
    return make_run(ready_project(str(tmp_path)), owner)


def scored(run: Run, **raw: float | None) -> Stage:
    """The stage of scoring, at work, with its last chunk done: a score of each judge."""
    sample = run.stages.get(kind="sample")
    for status in (Status.QUEUED, Status.RUNNING, Status.SUCCEEDED):
        lifecycle.move(sample, status)
    sampling = Sampling.objects.create(
        project=run.project, stage=sample, policy=Policy.objects.get(), engine="transformers"
    )
    prompt = Prompt.objects.filter(prompt_set__name="mixed").first()
    rollout = Rollout.objects.create(
        sampling=sampling, prompt=prompt, index=0, text="t", finish_reason="stop", tokens=5
    )
    for name, value in raw.items():
        judge = run.project.judges.get(name=f"sandbox-{name}")
        said = SAID if value is None else {}
        Score.objects.create(rollout=rollout, judge=judge, judge_version=1, raw=value, **said)
    stage = run.stages.get(kind="score")
    lifecycle.move(stage, Status.QUEUED)
    lifecycle.move(stage, Status.RUNNING, total=3, done=3)
    stage.chunks.create(index=0, items=[rollout.prompt_id], size=3, state="done")
    return stage


def test_a_judge_that_gave_no_score_ends_its_stage_and_a_retry_asks_it_anew(run: Run) -> None:
    stage = scored(run, helpful=None, harmless=1.0, truthful=0.0)
    stages.finish(stage)
    assert stage.status == Status.FAILED
    assert "judge sandbox-helpful gave no score on any of 1 rollouts: the reply is" in stage.reason
    assert "'about a four'" in stage.reason
    assert Score.objects.count() == 3, "another run at work may stand on them"
    lifecycle.retry(run)
    stage.refresh_from_db()
    assert (stage.status, stage.done, stage.chunks.count()) == (Status.PENDING, 0, 0)
    scoring.plan(stage)
    assert sorted(Score.objects.values_list("raw", flat=True)) == [0.0, 1.0], "valid ones stay"


def test_what_a_judge_said_is_kept_while_another_run_stands_on_it(run: Run, owner: User) -> None:
    stage = scored(run, helpful=None, harmless=1.0, truthful=0.0)
    other = make_run(run.project, owner, name="other", mine={"joint_at_most": 0.2})
    sample, beside = (other.stages.get(kind=kind) for kind in ("sample", "score"))
    lifecycle.move(sample, Status.SUCCEEDED, reused_from=run.stages.get(kind="sample"))
    lifecycle.move(beside, Status.QUEUED)
    scoring.plan(stage)
    assert Score.objects.count() == 3
    lifecycle.cancel(other)
    scoring.plan(stage)
    assert Score.objects.count() == 2


def test_scores_that_some_rollouts_lack_end_no_stage(run: Run) -> None:
    stage = scored(run, helpful=2.0, harmless=0.0, truthful=0.0)
    other = Rollout.objects.create(
        sampling=Sampling.objects.get(), prompt=Prompt.objects.all()[0], index=1, text="u", tokens=5
    )
    judge = run.project.judges.get(name="sandbox-helpful")
    Score.objects.create(rollout=other, judge=judge, judge_version=1, raw=None, **SAID)
    stages.finish(stage)
    assert (stage.status, stage.facts["left_out"]["sandbox-helpful"]) == (Status.SUCCEEDED, 0.5)
    assert stage.facts["versions"] == {f"sandbox-{d}": 1 for d in ("helpful", "harmless",
                                                                   "truthful")}  # fmt: skip


def test_a_stage_that_could_sample_nothing_says_why_and_a_retry_samples_all_anew(run: Run) -> None:
    stage = run.stages.get(kind="sample")
    Sampling.objects.create(
        project=run.project, stage=stage, policy=Policy.objects.get(), engine="endpoint"
    )
    lifecycle.move(stage, Status.QUEUED)
    why = "prompt 1: HTTP 400: too long: shorten it, or lower max_new_tokens"
    facts = {"held_out": 2, "not_sampled": {why: 5, "prompt 2: it has no token": 3}}
    lifecycle.move(stage, Status.RUNNING, total=8, done=8, facts=facts)
    stage.chunks.create(index=0, items=[1], size=8, state="done")
    stages.finish(stage)
    assert stage.status == Status.FAILED
    assert (
        f"none of 8 rollouts could be sampled; {why}. Correct what that names and" in stage.reason
    )
    assert "or retry" in stage.reason
    lifecycle.retry(run)
    stage.refresh_from_db()
    assert (stage.status, stage.done, stage.facts) == (Status.PENDING, 0, {"held_out": 2})
    assert [chunk.state for chunk in stage.chunks.all()] == ["open"]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([(8, [1, 8, 8]), (8, [2, 7, 8])],
         " (1 open, 2 undecided: judge sandbox-helpful left 81% of their scores out); look at"),
        ([(8, [5, 3, 8]), (8, [4, 3, 8])],
         "judge sandbox-harmless left 62% of their scores out); look at"),
        ([(8, [2, 2, 8])],
         "judge sandbox-helpful left 75% of their scores out and judge sandbox-harmless left 75% of"
         " their scores out); look at"),
        ([(0, [0, 0, 0]), (3, [2, 3, 3])], " (1 open, 2 undecided)"),
    ],
)  # fmt: skip
def test_nothing_mined_is_told_with_the_judges_that_left_prompts_undecided(
    run: Run, counts: list[tuple[int, list[int]]], told: str
) -> None:
    stage = run.stages.get(kind="mine")
    lifecycle.move(stage, Status.QUEUED)
    lifecycle.move(stage, Status.RUNNING, total=1 + len(counts))
    verdicts = [("open", (8, [8, 8, 8])), *(("undecided", own) for own in counts)]
    for prompt, (verdict, (n, valid)) in zip(Prompt.objects.all(), verdicts, strict=False):
        stage.verdicts.create(
            prompt=prompt, verdict=verdict, mined=False, attained=[], missing=[], ceiling={},
            counts={"n": n, "n_k": valid},
        )  # fmt: skip
    stages.finish(stage)
    assert stage.empty and stage.reason.startswith(f"nothing mined from {stage.total} prompts")
    assert told in stage.reason
    if "judge" not in told:
        assert stage.reason.endswith(told)


def test_every_seed_is_evaluated_on_the_same_prompts(run: Run, owner: User) -> None:
    add_prompts(run.project, "many", [f"How do I glaze {i} pots?" for i in range(40)])
    evaluate = {**run.config["evaluate"], "prompts": "many", "limit": 5}
    found = []
    for seed in range(3):
        one = make_run(run.project, owner, name=f"seed {seed}", seed=seed, evaluate=evaluate)
        found.append(
            [p.pk for p in evaluating.prompts_of(one.stages.get(kind="evaluate", round=0))]
        )
    assert found[0] == found[1] == found[2] and len(found[0]) == 5


@pytest.mark.parametrize(
    ("left", "told"),
    [
        ({"rollouts": 32, "valid": 32, "finished": 0, "distinct": 0},
         ": 32 were left by “with every score”, none by “not stopped by length”;"
         " raise sample.max_new_tokens"),
        ({"rollouts": 4, "valid": 4, "finished": 4, "distinct": 4, "pairs": 6, "higher": 5,
          "margin": 0, "taken": 0}, "; lower pair.margin_at_least"),
        ({"rollouts": 4, "pairs": 6, "higher": 6, "focus": 0}, "; sample more rollouts of each"),
        ({"rollouts": 64, "valid": 64, "finished": 1, "distinct": 1, "pairs": 0},
         ": 64 were left by “with every score”, 1 by “not stopped by length”;"
         " raise sample.max_new_tokens"),
        ({"rollouts": 4, "valid": 4, "finished": 4, "distinct": 4, "pairs": 0},
         "4 were left by “distinct texts”, none by “pairs of them”; raise the temperature"),
        ({}, "no pair among the rollouts of 4 rewrites"),
    ],
)  # fmt: skip
def test_no_pair_is_told_with_its_cause(left: dict[str, int], told: str) -> None:
    assert told in pairing._no_pair(4, left, "max_margin")


def test_no_margin_of_rs_dpo_is_for_tau_and_eta_to_mend() -> None:
    left = {"pairs": 6, "higher": 5, "margin": 0}
    assert pairing._no_pair(4, left, "rs_dpo").endswith("; lower pair.tau or pair.eta")
