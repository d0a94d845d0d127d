"""The gate on trained pairs: their margins are those of the stored scores, or it says so."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from alignment.models import Pair, Policy, Rollout, Sampling, Score, Stage
from tests.builders import make_run, ready_project
from workers.stages import margins

# Text, how it ended, and raw scores: helpful 1 to 5, harmless and truthful 0 to 1.
ROLLOUTS = [
    ("good", "stop", (5.0, 1.0, 1.0)),
    ("bad", "stop", (1.0, 0.0, 1.0)),
    ("good", "stop", (3.0, 1.0, 1.0)),  # an equal completion: their raw scores are averaged
    ("good", "length", (1.0, 0.0, 0.0)),  # cut short: it does not count
]
# Rewards of good: (0.75, 1, 1); of bad: (0, 0, 1); equal weights.
MARGIN = (0.75 + 1.0) / 3


@pytest.fixture
def train(db: None, owner: User, tmp_path: Path) -> Stage:
    """The training stage of a run with one scored pair."""
    project = ready_project(str(tmp_path))
    run = make_run(project, owner)
    sampling = Sampling.objects.create(
        project=project,
        stage=run.stages.get(kind="resample"),
        policy=Policy.objects.get(name="start"),
        engine="transformers",
    )
    prompt = project.prompt_sets.get(name="mixed").prompts.all()[0]
    made = []
    for i, (text, ending, raw) in enumerate(ROLLOUTS):
        rollout = Rollout.objects.create(
            sampling=sampling, prompt=prompt, index=i, text=text, finish_reason=ending
        )
        made.append(rollout)
        for name, value in zip(("helpful", "harmless", "truthful"), raw, strict=True):
            judge = project.judges.get(name=f"sandbox-{name}")
            Score.objects.create(rollout=rollout, judge=judge, judge_version=1, raw=value)
    Pair.objects.create(
        stage=run.stages.get(kind="pair"),
        prompt=prompt,
        chosen=made[0],
        rejected=made[1],
        margin=MARGIN,
        gaps={},
    )
    return run.stages.select_related("run__project").get(kind="train")


def pairs() -> list[Pair]:
    return list(Pair.objects.select_related("chosen", "rejected"))


def test_a_margin_of_the_stored_scores_passes(train: Stage) -> None:
    found = margins.gate(train, pairs())
    assert found["passed"] and found["value"] == pytest.approx(0, abs=1e-12)


def test_another_margin_and_a_missing_score_fail(train: Stage) -> None:
    Score.objects.filter(rollout__index=1, judge__name="sandbox-helpful").update(raw=2.0)
    found = margins.gate(train, pairs())
    assert not found["passed"] and found["value"] == pytest.approx(0.25 / 3)
    Score.objects.filter(rollout__index=1).delete()
    found = margins.gate(train, pairs())
    assert (found["passed"], found["value"]) == (False, None)
