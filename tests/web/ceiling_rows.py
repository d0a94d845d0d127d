"""Rows of rounds that were sampled, judged, mined and rewritten, for tests of the Ceiling page."""

from collections.abc import Sequence

import numpy as np
from django.contrib.auth.models import User

from alignment.method.mining import MiningRule
from alignment.method.records import PromptScores
from alignment.models import Judge, Policy, Prompt, Rollout, Run, Sampling, Score, Stage
from alignment.queries.replay import judges_of
from tests.builders import make_run
from tests.web.conftest import put, stage_of
from workers.stages.mining import verdict_on

Raw = Sequence[tuple[float, float, float]]
REFUSAL, ANSWER, BOTH = (1.0, 1.0, 1.0), (5.0, 0.0, 1.0), (5.0, 1.0, 1.0)
SAFE_ONLY = [REFUSAL] * 14 + [ANSWER] * 2


def sampled(stage: Stage, rows: dict[Prompt, Raw]) -> None:
    """A finished sampling by the stage with its judges' scores."""
    policy = Policy.objects.get(project=stage.run.project, name="start")
    sampling = Sampling.objects.create(
        project=stage.run.project, stage=stage, policy=policy, engine="transformers"
    )
    judges = [Judge.objects.get(project=stage.run.project, name=f"sandbox-{d}")
              for d in ("helpful", "harmless", "truthful")]  # fmt: skip
    for prompt, raw in rows.items():
        for i, values in enumerate(raw):
            rollout = Rollout.objects.create(
                sampling=sampling, prompt=prompt, index=i, text="t", finish_reason="stop", tokens=5
            )
            for judge, value in zip(judges, values, strict=True):
                known = None if np.isnan(value) else value
                Score.objects.create(rollout=rollout, judge=judge, judge_version=1, raw=known)


def mined(run: Run, rows: dict[Prompt, Raw]) -> None:
    """The round sampled, judged and mined, by the rule of a run as it is by default."""
    sampled(stage_of(run, "sample"), rows)
    finished(run, "sample", "score", "mine")
    mine = stage_of(run, "mine")
    dims = tuple(judge.dimension.record for judge in judges_of(mine))
    for prompt, raw in rows.items():
        scores = PromptScores(dims=dims, raw=np.array(raw, dtype=float).reshape(-1, 3))
        verdict_on(mine, prompt, scores, MiningRule(min_valid=4), 16).save()


def finished(run: Run, *kinds: str) -> None:
    for kind in kinds:
        put(stage_of(run, kind), status="succeeded", fingerprint="f")


def rewritten(run: Run, strategy: str, *raws: Raw) -> None:
    """Its prompts rewritten and sampled again, with each of `raws` in turn."""
    stage = stage_of(run, "rewrite")
    rows = {}
    seeds = Prompt.objects.filter(prompt_set__name="mixed", parent=None).order_by("pk")
    for i, seed in enumerate(seeds):
        text = seed.text if strategy == "none" else f"{seed.text} Explain it."
        rewrite = Prompt.objects.create(
            prompt_set=seed.prompt_set,
            text=text,
            key=Prompt.key_of(text, seed.key),
            parent=seed,
            strategy=strategy,
            stage=stage,
        )
        rows[rewrite] = raws[i % len(raws)]
    sampled(stage_of(run, "resample"), rows)
    finished(run, "rewrite", "resample", "rescore")


def kept(fused: Run, by: User, *raws: Raw, name: str = "kept") -> Run:
    """The arm `none` beside a run, which reuses its mining and samples the originals again."""
    none = make_run(fused.project, by, name=name, rewrite={"strategy": "none"})
    for kind in ("sample", "score", "mine"):
        put(stage_of(none, kind), status="succeeded", fingerprint="f",
            reused_from=stage_of(fused, kind))  # fmt: skip
    rewritten(none, "none", *raws)
    return none
