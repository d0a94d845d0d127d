"""Pair: max-margin selection on the rollouts of each rewrite, with the yield of every filter."""

from collections import Counter

from alignment.method.records import PromptScores
from alignment.method.selection import SelectionRule, select_pairs
from alignment.models import Pair, Prompt, Stage
from workers import store
from workers.stages.job import ChunkPlan, Job, Outcome, Write, before, cut

CHUNK_PROMPTS = 500


def plan(stage: Stage) -> list[ChunkPlan]:
    sampled = before(stage, "resample").source
    items = [item for chunk in sampled.chunks.all() for item in chunk.items]
    keys = dict(Prompt.objects.filter(pk__in=items).values_list("pk", "key"))
    chunks = cut(sorted(items, key=lambda item: keys[item]), CHUNK_PROMPTS)
    return [ChunkPlan(index=i, items=c, size=len(c)) for i, c in enumerate(chunks)]


def work(job: Job) -> Write:
    stage = job.stage
    project = stage.run.project
    dims = store.dimensions(project, stage.config["dimensions"])
    names = before(stage, "rescore").config["judges"]
    judges = store.judges(project, [names[d.name] for d in dims])
    rule = rule_of(stage)
    scored = store.scored(before(stage, "resample"), job.claim.items, judges)
    pairs: list[Pair] = []
    left: Counter[str] = Counter()
    for prompt_id in job.claim.items:
        rollouts = scored[prompt_id].rollouts
        selected = select_pairs(
            PromptScores(dims=dims, raw=scored[prompt_id].raw),
            rule,
            texts=[r.text for r in rollouts],
            cut=[r.finish_reason == "length" for r in rollouts],
            lengths=[r.tokens or 0 for r in rollouts],
        )
        left.update(selected.left)
        pairs += [
            Pair(
                stage=stage,
                prompt_id=prompt_id,
                chosen=rollouts[p.chosen],
                rejected=rollouts[p.rejected],
                margin=p.margin,
                gaps={d.name: g for d, g in zip(dims, p.gaps, strict=True)},
            )
            for p in selected.pairs
        ]

    def write() -> None:
        Pair.objects.bulk_create(pairs)
        known = Stage.objects.select_for_update().get(pk=stage.pk)
        known.facts["yield"] = _added(known.facts.get("yield", {}), left)
        known.save(update_fields=("facts",))

    return write


def rule_of(stage: Stage) -> SelectionRule:
    """The selection rule of the stage's settings."""
    asked = stage.config
    return SelectionRule(
        **asked["pair"],
        weights=asked["weights"],
        focus=asked["focus"],
        aligned=tuple(asked["aligned"]),
    )


def _added(known: dict[str, int], left: Counter[str]) -> dict[str, int]:
    """Yields of two chunks added up, filters in the order applied."""
    return {name: known.get(name, 0) + n for name, n in left.items()}


def finish(stage: Stage) -> Outcome:
    pairs = stage.pairs.count()
    empty = "" if pairs else f"no pair among the rollouts of {stage.total} rewrites"
    return Outcome(empty=empty, facts={"pairs": pairs})
