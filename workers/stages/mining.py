"""Mine: the verdict on every prompt of the round, with its counts and ceiling numbers."""

from dataclasses import asdict
from typing import Any

from django.db.models import Count

from alignment.method import ceiling, mining
from alignment.method.records import PromptScores
from alignment.method.seeds import seed_of
from alignment.models import Prompt, Stage, Verdict
from workers import store
from workers.stages.job import ChunkPlan, Job, Outcome, Write, before, cut

CHUNK_PROMPTS = 500


def plan(stage: Stage) -> list[ChunkPlan]:
    sampled = before(stage, "sample").source
    items = sorted(item for chunk in sampled.chunks.all() for item in chunk.items)
    chunks = cut(items, CHUNK_PROMPTS)
    return [ChunkPlan(index=i, items=c, size=len(c)) for i, c in enumerate(chunks)]


def work(job: Job) -> Write:
    stage = job.stage
    project = stage.run.project
    dims = store.dimensions(project, stage.config["dimensions"])
    names = before(stage, "score").config["judges"]
    judges = store.judges(project, [names[d.name] for d in dims])
    n = before(stage, "sample").config["sample"]["n"]
    rule = mining.rule_of(stage.config["mine"], stage.config["dimensions"], n)
    scored = store.scored(before(stage, "sample"), job.claim.items, judges)
    verdicts = [
        verdict_on(stage, prompt, PromptScores(dims=dims, raw=scored[prompt.pk].raw), rule, n)
        for prompt in job.prompts()
    ]

    def write() -> None:
        store.insert(verdicts)

    return write


def verdict_on(
    stage: Stage, prompt: Prompt, scores: PromptScores, rule: mining.MiningRule, n: int
) -> Verdict:
    found = mining.mine(scores, rule)
    numbers = ceiling.ceiling(scores)
    return Verdict(
        stage=stage,
        prompt=prompt,
        verdict=found.verdict,
        mined=found.mined,
        attained=list(found.attained),
        missing=list(found.missing),
        counts=asdict(numbers.counts),
        ceiling=_ceiling(stage, prompt, scores, numbers, n),
    )


def _ceiling(
    stage: Stage, prompt: Prompt, scores: PromptScores, numbers: ceiling.Ceiling, n: int
) -> dict[str, Any]:
    """The ceiling's numbers, with the attainable volume at half of N, the common m; none where
    fewer rollouts are valid."""
    found = asdict(numbers)
    del found["counts"]
    m = max(1, n // 2)
    seed = seed_of(stage.config["seed"], "volume", prompt.key)
    rewards = scores.rewards[scores.jointly_valid]
    found["volume"] = {"m": m, "value": ceiling.attainable_volume(rewards, m=m, seed=seed)}
    found["dimensions"] = [d.name for d in scores.dims]
    return found


def finish(stage: Stage) -> Outcome:
    counts = dict(
        stage.verdicts.values_list("verdict").annotate(n=Count("pk")).values_list("verdict", "n")
    )
    mined = stage.verdicts.filter(mined=True).count()
    told = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
    empty = "" if mined else f"nothing mined from {stage.total} prompts ({told})"
    return Outcome(empty=empty, facts={"verdicts": counts, "mined": mined})
