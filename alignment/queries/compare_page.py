"""The Compare page of a project: arms over their seeds, differences to a base, alignment tax, which
targets are feasible without training, and rewards against the number of pairs.

Arms are found in `queries.compare_arms`, figures computed in `queries.comparing`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np

from alignment.method.errors import MoraError
from alignment.method.feasibility import Feasibility, feasibility
from alignment.method.records import PromptScores
from alignment.method.selection import share_size
from alignment.method.statistics import TaxMatrix, alignment_tax
from alignment.models import Evaluation, Project, Stage, Status
from alignment.queries.accepted_prompts import AcceptedPrompts, accepted_prompts
from alignment.queries.compare_arms import CompareArm, arms_of
from alignment.queries.comparing import Comparison, compare
from alignment.queries.scores import evaluation_scores

MOST_ARMS = 12


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One dimension's mean reward by number of pairs, over policies trained on nested shares."""

    pairs: list[float]
    shares: list[float]
    rewards: dict[str, list[float | None]]


@dataclass(frozen=True, kw_only=True)
class ComparePage:
    """choices: all arms; left_out: names of arms with other seeds; apart: of those judged otherwise
    or on other prompts; problem: why nothing is compared, in a sentence; accepted: None where all
    arms were trained on the same prompts."""

    project: Project
    choices: list[CompareArm]
    base: CompareArm | None
    comparison: Comparison | None
    left_out: list[str]
    apart: list[str]
    problem: str
    tax: TaxMatrix | None
    rounds: list[str]
    targets: dict[str, str]
    feasible: Feasibility | None
    target_problem: str
    sweep: Sweep | None
    accepted: AcceptedPrompts | None

    @property
    def address(self) -> str:
        """The query string that shows this again."""
        targets = {f"target.{name}": value for name, value in self.targets.items()}
        return urlencode({"base": self.base.name if self.base else "", **targets})


def compare_page(project: Project, asked: Mapping[str, str]) -> ComparePage:
    """The page for an address; where it names no base, the newest arm is it."""
    choices = arms_of(project)
    name = asked.get("base")
    base = next((a for a in choices if not name or name in (a.name, *a.also)), None)
    if base is None:
        none = f"There is no arm {name} here; choose another." if choices else ""
        return _page(project, choices, None, problem=none or "No evaluation is finished yet.")
    alike, apart = _alike(base, choices)
    reference = next((a for a in alike if a.round == 0 and base.start in a.keys), None)
    first = [base] if reference is None or reference is base else [base, reference]
    same = [a for a in alike if set(a.evaluations) == set(base.evaluations)]
    shown = [*first, *(a for a in same if a not in first)][:MOST_ARMS]
    left_out = [a.name for a in alike if a not in shown]
    seeds = sorted(base.evaluations)
    try:
        found = compare(
            {a.name: [a.evaluations[s] for s in seeds] for a in reversed(shown)},
            base=base.name,
            reference=reference.name if reference else None,
        )
    except MoraError as error:
        return _page(project, choices, base, problem=str(error), left_out=left_out, apart=apart)
    tax, rounds = _tax(base, found.dimensions)
    targets, feasible, told = _feasible(asked, found, base, reference)
    return ComparePage(
        project=project,
        choices=choices,
        base=base,
        comparison=found,
        left_out=left_out,
        apart=apart,
        problem="",
        tax=tax,
        rounds=rounds,
        targets=targets,
        feasible=feasible,
        target_problem=told,
        sweep=_sweep(base, shown, found),
        accepted=accepted_prompts(shown),
    )


def _alike(base: CompareArm, choices: Sequence[CompareArm]) -> tuple[list[CompareArm], list[str]]:
    """The arms that may be compared with the base and with one another, and the others' names."""
    alike = [base]
    for arm in choices:
        if arm is not base and all(arm.fits(other) for other in alike):
            alike.append(arm)
    return alike, [a.name for a in choices if a not in alike]


def _page(
    project: Project,
    choices: list[CompareArm],
    base: CompareArm | None,
    *,
    problem: str,
    left_out: Sequence[str] = (),
    apart: Sequence[str] = (),
) -> ComparePage:
    return ComparePage(
        project=project,
        choices=choices,
        base=base,
        comparison=None,
        left_out=list(left_out),
        apart=list(apart),
        problem=problem,
        tax=None,
        rounds=[],
        targets={},
        feasible=None,
        target_problem="",
        sweep=None,
        accepted=None,
    )


def _tax(base: CompareArm, names: Sequence[str]) -> tuple[TaxMatrix | None, list[str]]:
    """The tax of the base arm's rounds, on means over the seeds that have all of them."""
    stage = next(iter(base.stages.values()), None)
    if stage is None or stage.round == 0:
        return None, []
    config = stage.run.config
    seeds = _rounds_by_seed(base, len(config["rounds"]) + 1)
    try:
        means = [_means(own, names) for own in zip(*seeds, strict=True)]
    except MoraError:
        return None, []
    if not means:
        return None, []
    focus = [r["focus"] for r in config["rounds"]]
    aligned = [list(names).index(f) if f in names else None for f in focus]
    told = [f"round {i}: {f or 'all at once'}" for i, f in enumerate(focus, 1)]
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


def _means(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[float | None]:
    alone = compare({"alone": evaluations}, base="alone")
    return [alone.arms[0].rewards[name].value for name in names]


def _feasible(
    asked: Mapping[str, str], found: Comparison, base: CompareArm, reference: CompareArm | None
) -> tuple[dict[str, str], Feasibility | None, str]:
    """Whether the reference's rollouts, of all seeds, could be reweighed to the targets; the base's
    means are the targets where none are asked for."""
    own = next(a for a in found.arms if a.name == base.name)
    usual = {n: f"{e.value:.2f}" for n, e in own.rewards.items() if e.value is not None}
    targets = {n: asked.get(f"target.{n}") or usual.get(n, "") for n in found.dimensions}
    try:
        values = [float(targets[name]) for name in found.dimensions]
    except ValueError:
        return targets, None, "A target is a number from 0 to 1 for each dimension."
    if not all(0 <= v <= 1 for v in values):
        return targets, None, "A target is a number from 0 to 1 for each dimension."
    source = reference or base
    seeds = [evaluation_scores(evaluation) for evaluation in source.evaluations.values()]
    scored = [PromptScores(dims=scores.dims, raw=scores.raw).rewards for scores in seeds]
    rewards, prompts = np.concatenate(scored), np.concatenate([scores.prompt for scores in seeds])
    if not np.isfinite(rewards).all(axis=1).any():
        told = "No rollout was judged on every dimension, so targets cannot be checked together."
        return targets, None, told
    return targets, feasibility(rewards, prompts, values), ""


def _sweep(base: CompareArm, shown: Sequence[CompareArm], found: Comparison) -> Sweep | None:
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


def rows_of(page: ComparePage) -> Iterator[tuple[Any, ...]]:
    """The page's figures as (table, arm, figure, value, low, high, p, corrected p, n)."""
    if page.comparison is None:
        return
    for arm in page.comparison.arms:
        figures = {f"{n} reward": e for n, e in arm.rewards.items()}
        figures |= {f"{n} passes": e for n, e in arm.pass_rates.items()}
        figures |= {"all pass": arm.joint_pass_rate, "hypervolume": arm.hypervolume}
        figures |= {"tokens": arm.tokens, "refusals": arm.refusal_rate}
        figures |= {f"{n} wins": w.rate for n, w in arm.wins.items()}
        figures |= {f"{n} preferred in both orders": w.rate for n, w in arm.preferred.items()}
        for name, e in figures.items():
            yield "arms", arm.name, name, e.value, e.low, e.high, "", "", e.n
    for d in page.comparison.differences:
        e = d.plain
        yield "differences", d.arm, d.figure, e.value, e.low, e.high, d.p, d.corrected, e.n
        if d.at_equal_length:
            e = d.at_equal_length
            name = f"{d.figure} at equal length"
            yield "differences", d.arm, name, e.value, e.low, e.high, "", "", e.n
