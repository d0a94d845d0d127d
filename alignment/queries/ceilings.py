"""The ceiling of a round's prompts: curves of the mining sample, and before and after rewriting.

Before is fresh rollouts of the originals, by a run of the arm `none` that mined the same;
never the mining sample, whose low counts are partly luck. Both sides are over the prompts that
both have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np

from alignment.method.records import Bools, Floats, Ints, PromptScores
from alignment.method.resampling import Estimate
from alignment.method.seeds import seed_of
from alignment.method.set_ceiling import (
    GradeShares,
    PromptNumbers,
    SetCurves,
    are_grades,
    grade_shares,
    levels_of,
    pooled_volume,
    prompt_numbers,
    set_curves,
)
from alignment.method.statistics import holm, paired_difference, sign_flip_p
from alignment.models import Judge, Prompt, Stage
from alignment.queries.ceiling_arms import Arm, arms_of, frozen_volume
from alignment.queries.replay import judges_of, sample_of
from alignment.queries.scores import SampledScores, sampled_scores

SIZES = (16, 32, 64)
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of the comparison: what it is, its curves, its grades by N (None: all rollouts),
    and the rewards of the other dimensions at each level."""

    name: str
    n: int
    curves: SetCurves
    grades: list[GradeShares]
    levels: list["Level"]


@dataclass(frozen=True, kw_only=True)
class Level:
    """Mean reward of the other dimensions of the rollouts at one level: how many, their share of
    all, mean and quartiles, None where there is none."""

    name: str
    n: int
    share: float
    mean: float | None
    quartiles: tuple[float, float, float, float, float] | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """A number of the ceiling before and after, over the prompts that have both."""

    name: str
    before: Estimate
    after: Estimate
    change: Estimate
    corrected_p: float | None


@dataclass(frozen=True, kw_only=True)
class BeforeAfter:
    """m: of the volumes and best-of numbers; pooled: the arms whose rollouts the coverage ratio is
    a share of; frozen: when that was fixed, None where it is of the arms finished now."""

    before: Side
    after: Side
    prompts: int
    m: int
    changes: list[Change]
    pooled: list[str]
    frozen: datetime | None
    levels: tuple[str, ...]


def mining_side(mine: Stage, bars: int, line: int, kind: str = "") -> tuple[Side, tuple[str, ...]]:
    """The mining sample's curves and grades, and the names of the levels."""
    scores = _scores(sample_of(mine).sampling.pk, _key(judges_of(mine)), kind)
    graded = _are_graded(mine, bars, kind)
    _, names = levels_of(scores.dims[bars], scores.raw[:, bars], graded)
    return _side("mining sample", scores, bars, line, graded), names


def _are_graded(mine: Stage, bars: int, kind: str) -> bool:
    """Whether every score on the dimension is a grade: the mining sample's and all arms'."""
    key = _key(judges_of(mine))
    samplings = [sample_of(mine).sampling.pk, *(arm.sampling_id for arm in arms_of(mine))]
    every = (_scores(pk, key, kind) for pk in samplings)
    return all(are_grades(scores.dims[bars], scores.raw[:, bars]) for scores in every)


def kinds_of(mine: Stage) -> list[str]:
    """The labels that the prompts of the round came with."""
    prompts = Prompt.objects.filter(rollouts__sampling=sample_of(mine).sampling)
    return sorted(set(prompts.exclude(kind="").values_list("kind", flat=True)))


def before_after(
    mine: Stage, arms: Iterable[Arm], after: Arm, before: Arm, bars: int, line: int, kind: str = ""
) -> BeforeAfter | None:
    """An arm's rewrites against fresh originals; None where they have no prompt in common."""
    key = _key(judges_of(mine))
    every = {arm.name: _scores(arm.sampling_id, key, kind) for arm in arms}
    one, two = every[before.name], every[after.name]
    parents = sorted(set(one.parent.tolist()) & set(two.parent.tolist()))
    if not parents:
        return None
    one, two = _only(one, parents), _only(two, parents)
    least = min(_least(one), _least(two))
    m = max(1, least // 2)
    frozen = frozen_volume(mine)
    pooled = [frozen.volumes.get(str(k)) for k in parents] if frozen else _pooled(every, parents)
    first, second = (_numbers(scores, parents, m, pooled) for scores in (one, two))
    graded = _are_graded(mine, bars, kind)
    _, names = levels_of(one.dims[bars], one.raw[:, bars], graded)
    return BeforeAfter(
        before=_side("originals, sampled afresh", one, bars, line, graded),
        after=_side(f"rewrites ({after.strategy})", two, bars, line, graded),
        prompts=len(parents),
        m=m,
        changes=_changes(first, second, np.array(parents)),
        pooled=frozen.arms if frozen else sorted(every),
        frozen=frozen.created_at if frozen else None,
        levels=names,
    )


def pooled_volumes(mine: Stage) -> tuple[list[str], dict[str, float | None]]:
    """The finished arms that mined the same, and by prompt the volume of all their rollouts."""
    key = _key(judges_of(mine))
    every = {arm.name: _scores(arm.sampling_id, key, "") for arm in arms_of(mine)}
    parents = sorted({k for scores in every.values() for k in scores.parent.tolist()})
    volumes = _pooled(every, parents)
    return sorted(every), {str(k): v for k, v in zip(parents, volumes, strict=True)}


def _least(scores: SampledScores) -> int:
    """The fewest rollouts of a prompt."""
    return int(np.unique(scores.prompt, return_counts=True)[1].min())


def _side(name: str, scores: SampledScores, bars: int, line: int, graded: bool) -> Side:
    judged = PromptScores(dims=scores.dims, raw=scores.raw)
    level, names = levels_of(scores.dims[bars], scores.raw[:, bars], graded)
    known = (level >= 0) & judged.valid[:, line]
    n = int(np.unique(scores.prompt, return_counts=True)[1].max(initial=0))
    prompt = _index(scores.prompt)
    sizes = [m for m in SIZES if m <= n] or [n]
    found = [
        grade_shares(level[known], len(names), judged.passed[known, line], prompt[known], m)
        for m in (None, *sizes)
    ]
    return Side(
        name=name,
        n=n,
        curves=set_curves(scores.dims, scores.raw, prompt),
        grades=found,
        levels=_levels(judged, level, names, bars),
    )


def _levels(judged: PromptScores, level: Ints, names: tuple[str, ...], bars: int) -> list[Level]:
    others = np.delete(judged.rewards, bars, axis=1)
    mean = others.mean(axis=1) if others.shape[1] else judged.rewards[:, bars]
    known = np.isfinite(mean) & (level >= 0)
    total = int(known.sum())
    found = []
    for i, name in enumerate(names):
        own = mean[known & (level == i)]
        five = (
            tuple(float(q) for q in np.quantile(own, (0, 0.25, 0.5, 0.75, 1))) if own.size else None
        )
        found.append(
            Level(
                name=name,
                n=len(own),
                share=len(own) / total if total else 0.0,
                mean=float(own.mean()) if own.size else None,
                quartiles=five,  # type: ignore[arg-type]
            )
        )
    return found


def _pooled(every: Mapping[str, SampledScores], parents: list[int]) -> list[float | None]:
    """The volume of all arms' rollouts of each parent."""
    rewards: dict[int, list[Floats]] = {key: [] for key in parents}
    for scores in every.values():
        own = PromptScores(dims=scores.dims, raw=scores.raw).rewards
        for key in parents:
            rewards[key].append(own[scores.parent == key])
    return [pooled_volume(rewards[key]) for key in parents]


def _numbers(
    scores: SampledScores, parents: list[int], m: int, pooled: list[float | None]
) -> PromptNumbers:
    at = np.searchsorted(np.array(parents), scores.parent)
    seeds = [seed_of(SEED, "volume", key) for key in parents]
    return prompt_numbers(scores.dims, scores.raw, at, m=m, seeds=seeds, pooled=pooled)


def _changes(before: PromptNumbers, after: PromptNumbers, parents: Ints) -> list[Change]:
    pairs = {n: (getattr(before, n)[None], getattr(after, n)[None]) for n in PromptNumbers.NAMES}
    zero = np.zeros((1, len(parents)))
    p = [sign_flip_p(two, one, parents, seed=SEED) for one, two in pairs.values()]
    return [
        Change(
            name=name,
            before=paired_difference(one, zero, parents, seed=SEED),
            after=paired_difference(two, zero, parents, seed=SEED),
            change=paired_difference(two, one, parents, seed=SEED),
            corrected_p=corrected,
        )
        for (name, (one, two)), corrected in zip(pairs.items(), holm(p), strict=True)
    ]


def _only(scores: SampledScores, parents: list[int]) -> SampledScores:
    return _cut(scores, np.isin(scores.parent, parents))


def _cut(scores: SampledScores, kept: Bools) -> SampledScores:
    """The rollouts kept; what was asked of the judges stays that of all."""
    columns = ("raw", "parent", "prompt", "index", "cut", "tokens", "refused")
    whole = {name: getattr(scores, name)[kept] for name in columns}
    return SampledScores(
        dims=scores.dims,
        asked=scores.asked,
        invalid=scores.invalid,
        prompt_sets=scores.prompt_sets,
        **whole,
    )


def _index(prompt: Ints) -> Ints:
    return np.unique(prompt, return_inverse=True)[1].reshape(-1)


Key = tuple[tuple[int, int, str], ...]


def _key(judges: Iterable[Judge]) -> Key:
    """Judges, versions and scales: others give other figures."""
    return tuple((judge.pk, judge.version, repr(judge.dimension.record)) for judge in judges)


@lru_cache(maxsize=16)
def _scores(sampling_id: int, judges: Key, kind: str) -> SampledScores:
    """A finished sampling's scores never change, so they are read once."""
    rows = Judge.objects.select_related("dimension").in_bulk([pk for pk, *_ in judges])
    versions = [version for _, version, _ in judges]
    scores = sampled_scores(sampling_id, [rows[pk] for pk, *_ in judges], versions)
    if not kind:
        return scores
    prompts = Prompt.objects.filter(pk__in=np.unique(scores.prompt).tolist(), kind=kind)
    return _cut(scores, np.isin(scores.prompt, list(prompts.values_list("pk", flat=True))))
