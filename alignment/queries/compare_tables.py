"""What the Compare page shows beside its arms: the alignment tax of the base's rounds, whether
targets are feasible without training, and rewards against the number of pairs.

All of it is on the prompts that the arms are compared on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal

import numpy as np

from alignment.method.feasibility import Feasibility, feasibility
from alignment.method.records import Floats, Ints, PromptScores
from alignment.method.selection import share_size
from alignment.method.statistics import TaxMatrix, alignment_tax
from alignment.models import Evaluation, Stage, Status
from alignment.queries.cells import Answered, mean_rewards
from alignment.queries.compare_arms import CompareArm
from alignment.queries.comparing import Comparison
from alignment.queries.scores import evaluation_scores, judged_by
from alignment.queries.stages import untrained_rounds


@dataclass(frozen=True, kw_only=True)
class Targets:
    """A target by dimension as it was written, the base's mean to two decimals below it where none
    was, and whether the rollouts of the arm `source` could be reweighed to all of them. without:
    dimensions that have neither; problem: why nothing is checked, in a sentence; can_check: whether
    other targets could be."""

    source: str
    values: dict[str, str]
    without: list[str] = field(default_factory=list)
    problem: str = ""
    can_check: bool = True
    found: Feasibility | None = None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One dimension's mean reward by number of pairs, over policies trained on nested shares."""

    pairs: list[float]
    shares: list[float]
    rewards: dict[str, list[float | None]]


def tax_of(base: CompareArm, on: Answered) -> tuple[TaxMatrix | None, list[str]]:
    """The tax of the base arm's rounds, on means over the seeds that have all of them."""
    stage = next(iter(base.stages.values()), None)
    if stage is None or stage.round == 0:
        return None, []
    config = stage.run.config
    seeds = _rounds_by_seed(base, len(config["rounds"]) + 1)
    if not seeds or len(set(judged_by([e for own in seeds for e in own]).values())) > 1:
        return None, []
    means = [mean_rewards(own, on.parents) for own in zip(*seeds, strict=True)]
    focus = [r["focus"] for r in config["rounds"]]
    aligned = [on.names.index(f) if f in on.names else None for f in focus]
    runs = {s.run_id for s in base.stages.values()}
    empty = set.intersection(*(untrained_rounds(runs).get(run, set()) for run in runs))
    told = [
        f"round {i}: {f or 'all at once'}{' (not trained)' if i in empty else ''}"
        for i, f in enumerate(focus, 1)
    ]
    return alignment_tax(means, aligned), told


def _rounds_by_seed(base: CompareArm, rounds: int) -> list[list[Evaluation]]:
    """By seed its run's evaluations from the start policy's on, reused ones too."""
    runs = [stage.run_id for stage in base.stages.values()]
    stages = Stage.objects.filter(run__in=runs, kind="evaluate", status=Status.SUCCEEDED)
    sources = {(s.run_id, s.round): s.reused_from_id or s.pk for s in stages}
    evaluations = Evaluation.objects.filter(stage__in=sources.values())
    found = {e.stage_id: e for e in evaluations.prefetch_related("judges__dimension")}
    every = [[found.get(sources.get((run, i))) for i in range(rounds)] for run in runs]
    return [[e for e in own if e] for own in every if all(own)]


def targets_of(
    asked: Mapping[str, str], found: Comparison, on: Answered, source: CompareArm
) -> Targets:
    """Whether an arm's rollouts, of all seeds, could be reweighed to the targets asked for."""
    own = next(a for a in found.arms if a.name == found.base)
    usual = {n: _below(e.value) for n, e in own.rewards.items() if e.value is not None}
    values = {n: asked.get(n) or usual.get(n, "") for n in found.dimensions}
    rewards, prompts = _rollouts(source, on)
    if not np.isfinite(rewards).all(axis=1).any():
        told = "No rollout was judged on every dimension, so targets cannot be checked together."
        return Targets(source=source.name, values=values, problem=told, can_check=False)
    without = [n for n, value in values.items() if not value]
    if without:
        return Targets(source=source.name, values=values, without=without)
    numbers = [_number(value) for value in values.values()]
    if not all(0 <= number <= 1 for number in numbers):
        told = "A target is a number from 0 to 1 for each dimension."
        return Targets(source=source.name, values=values, problem=told)
    reached = feasibility(rewards, prompts, numbers)
    return Targets(source=source.name, values=values, found=reached)


def _below(mean: float) -> str:
    """A mean to two decimals, never above it, so that what has it also reaches it."""
    return str(Decimal(str(mean)).quantize(Decimal("0.01"), rounding=ROUND_FLOOR))


def _number(text: str) -> float:
    """The number that a text is; one that no target can be where it is none."""
    try:
        return float(text)
    except ValueError:
        return -1.0


def _rollouts(arm: CompareArm, on: Answered) -> tuple[Floats, Ints]:
    """Rewards (R, K) of an arm's rollouts, of all seeds, and their prompts (R,)."""
    rewards, prompts = [], []
    for evaluation in arm.evaluations.values():
        scores = evaluation_scores(evaluation)
        kept = np.isin(scores.parent, on.parents)
        rewards.append(PromptScores(dims=scores.dims, raw=scores.raw[kept]).rewards)
        prompts.append(scores.prompt[kept])
    return np.concatenate(rewards), np.concatenate(prompts)


def sweep_of(base: CompareArm, shown: Sequence[CompareArm], found: Comparison) -> Sweep | None:
    """The arms that differ from the base in their share of the pairs alone, by pairs."""
    own = [a for a in shown if a.sweep == base.sweep and a.round == base.round]
    if len(own) < 2 or base.round == 0:
        return None
    own = sorted(own, key=lambda a: a.share)
    figures = {a.name: a for a in found.arms}
    return Sweep(
        pairs=[_pairs(arm) for arm in own],
        shares=[arm.share for arm in own],
        rewards={
            name: [figures[arm.name].rewards[name].value for arm in own]
            for name in found.dimensions
        },
    )


def _pairs(arm: CompareArm) -> float:
    """Pairs that an arm's policies were trained on, mean over seeds, all rounds up to its own."""
    counts = []
    for stage in arm.stages.values():
        pairing = Stage.objects.filter(run=stage.run_id, kind="pair", round__lte=arm.round)
        facts = pairing.values_list("facts", flat=True)
        counts.append(sum(share_size(f.get("pairs", 0), arm.share) for f in facts))
    return round(sum(counts) / len(counts), 1) if counts else 0.0
