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
    judges = store.judges(project, _judges_of(stage))
    n = before(stage, "sample").config["sample"]["n"]
    rule = _rule_of(stage, n)
    scored = store.scored(before(stage, "sample"), job.claim.items, judges)
    verdicts = [
        verdict_on(stage, prompt, PromptScores(dims=dims, raw=scored[prompt.pk].raw), rule, n)
        for prompt in job.prompts()
    ]

    def write() -> None:
        store.insert(verdicts)

    return write


def _judges_of(stage: Stage) -> list[str]:
    """Names of the judges whose scores are mined, in the order of the dimensions."""
    names = before(stage, "score").config["judges"]
    return [names[dimension] for dimension in stage.config["dimensions"]]


def _rule_of(stage: Stage, n: int) -> mining.MiningRule:
    return mining.rule_of(stage.config["mine"], stage.config["dimensions"], n)


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
    empty = "" if mined else _nothing_mined(stage, counts)
    return Outcome(empty=empty, facts={"verdicts": counts, "mined": mined})


def _nothing_mined(stage: Stage, counts: dict[str, int]) -> str:
    """How many prompts are what, the undecided last, with the judges that left them so."""
    found = sorted(counts.items(), key=lambda one: (one[0] == "undecided", one[0]))
    told = ", ".join(f"{n} {verdict}" for verdict, n in found)
    remedy = ""
    if silent := _left_out(stage):
        told += ": " + " and ".join(
            f"judge {name} left {_percent(share)} of their scores out"
            for name, share in silent.items()
        )
        remedy = "; look at its reasons, correct the judge and start a clone of the run"
    return f"nothing mined from {stage.total} prompts ({told}){remedy}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "under 1%"


def _left_out(stage: Stage) -> dict[str, float]:
    """By judge its share of rollouts without a score, over the undecided prompts that have rollouts
    enough: of the judges that left most of them out, else of the one that left the most, if any."""
    n = before(stage, "sample").config["sample"]["n"]
    needed = _rule_of(stage, n).min_valid or 0
    counts = stage.verdicts.filter(verdict="undecided").values_list("counts", flat=True)
    short = [own for own in counts if own["n"] >= needed and own["n"]]
    asked = sum(own["n"] for own in short)
    lost = {
        name: 1 - sum(own["n_k"][k] for own in short) / asked
        for k, name in enumerate(_judges_of(stage))
        if asked
    }
    worst = min(max(lost.values(), default=0.0), 0.5)
    return {name: share for name, share in lost.items() if share and share >= worst}
