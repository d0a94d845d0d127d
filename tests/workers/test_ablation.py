"""The ablation in its short form: equal budgets, common prompts, taken up again, and its report."""

import json
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from alignment.models import Pair, Policy, Prompt, Review, Rollout
from tests.conftest import Workers
from workers import ablation, demo
from workers.ablation import ARMS, SMALL
from workers.ablation_report import report
from workers.ablation_table import CLOSE, OPEN, write_table

NAMES = ["start", *ARMS]


@pytest.mark.long
def test_the_short_ablation_goes_through_a_kill_and_compares_the_arms_at_equal_budgets(
    transactional_db: None,
    sandbox_policy: tuple[str, str],
    owner: User,
    workers: Workers,
    tmp_path: Path,
) -> None:
    project = demo.make_project(ablation.SLUG, ablation.NAME, ablation.PROMPT_SETS)
    folder, digest = sandbox_policy
    path = str(Path(settings.ARTIFACTS) / folder)
    Policy.objects.create(project=project, name=demo.POLICY, folder=path, sha256=digest)

    runs = ablation.runs_of(project, 1, SMALL, owner)
    deadline = time.monotonic() + 1200
    while not Rollout.objects.filter(sampling__stage__kind="resample").exists():
        assert not ablation.go_on(runs, owner) and time.monotonic() < deadline
        time.sleep(0.2)
    workers.kill("gpu")
    again = ablation.runs_of(project, 1, SMALL, owner)
    assert {a: r.pk for a, r in again.items()} == {a: r.pk for a, r in runs.items()}
    workers.start("gpu")
    while not ablation.go_on(again, owner):
        assert time.monotonic() < deadline, [(r.name, r.status) for r in again.values()]
        time.sleep(0.2)

    shared = {arm: run.stages.get(kind="mine", round=1).source.pk for arm, run in runs.items()}
    assert len(set(shared.values())) == 1, "arms share what they have in common"
    common = ablation.common_parents(runs, 1)
    assert common
    for arm, run in runs.items():
        sampled = Prompt.objects.filter(rollouts__sampling__stage__run=run,
                                        rollouts__sampling__stage__kind="resample",
                                        rollouts__sampling__stage__round=1)  # fmt: skip
        assert set(sampled.values_list("parent__key", flat=True)) == common, arm
        steps = {s.facts["steps"] for s in run.stages.filter(kind="train") if s.facts}
        assert steps <= {SMALL.steps} and steps
    alone = Pair.objects.filter(stage__run=runs["dpo"], stage__round=1)
    assert all(abs(p.margin - p.gaps["harmless"]) < 1e-9 for p in alone), "one dimension's reward"
    rejected = Review.objects.filter(decision="reject")
    assert set(rejected.values_list("words", flat=True)) <= {ablation.NOT_COMMON}

    found = json.loads(json.dumps(report({1: runs}, SMALL), allow_nan=False))
    (after,) = found["rounds"]
    assert (after["round"], after["focus"], list(after["arms"])) == (1, "harmless", NAMES)
    assert sorted(after["hypervolume_ranking"]) == sorted(NAMES)
    by_kind = [own["fuse"]["helpful"] for own in after["kinds"].values()]
    whole = after["arms"]["fuse"]["rewards"]["helpful"]
    assert sum(own["n"] for own in by_kind) == whole["n"]
    mean = sum(own["n"] * own["value"] for own in by_kind) / whole["n"]
    assert abs(mean - whole["value"]) < 1e-9
    others = [name for name in NAMES if name != "fuse"]
    assert [d["arm"] for d in after["differences"]] == [a for a in others for _ in range(4)]
    assert found["ceiling"]["arms"]["none"]["volume"]["change"] is None
    assert found["ceiling"]["arms"]["fuse"]["volume"]["mean"]["n"] == len(common)
    assert found["prompt_harm"]["fuse"]["value"] is not None

    doc = tmp_path / "ablation.md"
    doc.write_text(f"Words before.\n{OPEN}\nold\n{CLOSE}\nWords after.\n")
    write_table(doc, found)
    text = doc.read_text()
    assert text.startswith("Words before.") and text.endswith("Words after.\n")
    assert "old" not in text and "| `fuse` |" in text
