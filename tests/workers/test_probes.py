"""The probes of the collapse gauge: the same prompts in every round, arm and seed of a project."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from alignment.models import Prompt, Stage
from tests.builders import add_prompts, make_run, ready_project
from workers.stages import training

ROUNDS = [{"prompts": "mixed", "focus": "harmless"}, {"prompts": "mixed", "focus": "helpful"}]
EVALUATE = {"prompts": "asked", "n": 4, "sets": {"truthful": "held-out"}}


@pytest.mark.django_db
def test_the_probes_are_the_first_evaluation_prompts_by_key_whatever_was_rewritten(
    owner: User, tmp_path: Path
) -> None:
    project = ready_project(str(tmp_path))
    texts = [f"How do I wash {i} windows?" for i in range(40)]
    asked = add_prompts(project, "asked", texts)
    judges = {d: f"sandbox-{d}-eval" for d in ("helpful", "harmless", "truthful")}
    changes = {"evaluate": {**EVALUATE, "judges": judges}, "rounds": ROUNDS}
    fused = make_run(project, owner, name="fuse", **changes)
    kept = make_run(project, owner, name="none", rewrite={"strategy": "none"}, seed=8, **changes)
    seed = Prompt.objects.filter(prompt_set=asked)[0]
    rewrite = {
        "parent": seed,
        "strategy": "fuse",
        "stage": fused.stages.get(kind="rewrite", round=1),
    }
    Prompt.objects.create(prompt_set=asked, text="rewritten", key="0" * 64, **rewrite)

    stages = [run.stages.get(kind="train", round=n) for run in (fused, kept) for n in (1, 2)]
    by_key = sorted(texts, key=Prompt.key_of)[: training.PROBES]
    assert [training.probes(Stage.objects.get(pk=s.pk)) for s in stages] == [by_key] * 4
    assert len(by_key) == training.PROBES == 16
