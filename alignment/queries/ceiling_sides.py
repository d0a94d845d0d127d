"""The sides of a ceiling (the mining sample, or originals and rewrites): curves, grades, levels.

Sides that are shown together are over the same prompts, so that a difference between them is none
between their prompts: each curve, and each best of N, takes the prompts with as many valid
rollouts on every side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from alignment.method.records import Ints, PromptScores
from alignment.method.resampling import Estimate, clustered_means, parent_means
from alignment.method.set_ceiling import (
    GradeShares,
    SetCurves,
    common_m,
    grade_shares,
    levels_of,
    most_have,
    set_curves,
)
from alignment.models import Prompt
from alignment.queries.scores import Key, SampledScores, judges_of_key, sampled_scores

SIZES = (16, 32, 64)
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side: what it is, the most rollouts of a prompt, how many prompts have a rollout that is
    valid on every dimension (on each side shown with it), the curves, the grades by N (None: all
    rollouts), the rewards of the other dimensions at each level, the share of completions that
    decline, without a value where nobody looked, and by dimension the scores asked for and those of
    them that the judge could not give."""

    name: str
    n: int
    prompts: int
    curves: SetCurves
    grades: list[GradeShares]
    levels: list["Level"]
    refusal_rate: Estimate
    asked: list[int]
    invalid: list[int]


@dataclass(frozen=True, kw_only=True)
class Level:
    """The rollouts at one level: how many, their share of those that have a level, and the mean
    reward of the other dimensions over the `scored` that have one, with its quartiles; None where
    there is none."""

    name: str
    n: int
    share: float
    scored: int
    mean: float | None
    quartiles: tuple[float, float, float, float, float] | None


def sides_of(
    named: Mapping[str, SampledScores], bars: int, line: int, graded: bool
) -> tuple[list[Side], tuple[str, ...]]:
    """The sides by name, and the names of the levels of the bars' dimension."""
    every = list(named.values())
    parents = np.unique(np.concatenate([scores.parent for scores in every]))
    valid = least_valid(every, parents)
    m = common_m(valid)
    whole = parents[valid >= max(1, m)]
    both = least_valid(every, parents, [bars, line])
    n = min(map(most_rollouts, every))
    sizes = [size for size in SIZES if most_have(both, size)] or [common_m(both) or n]
    kept = {size: parents[both >= (size or 1)] for size in (None, *sizes)}
    _, names = levels_of(every[0].dims[bars], every[0].raw[:, bars], graded)
    sides = [
        Side(
            name=name,
            n=most_rollouts(scores),
            prompts=int((valid > 0).sum()),
            curves=_curves(only(scores, whole), m),
            grades=_grades(scores, bars, line, graded, kept),
            levels=_levels(scores, bars, graded),
            refusal_rate=_refusal_rate(scores),
            asked=scores.asked.sum(axis=0).tolist(),
            invalid=scores.invalid.tolist(),
        )
        for name, scores in named.items()
    ]
    return sides, names


def least_valid(
    every: Sequence[SampledScores], parents: Ints, columns: Sequence[int] | None = None
) -> Ints:
    """By parent (P,) the fewest rollouts on any side that are valid on the dimensions given, or on
    all of them."""
    counts = []
    for scores in every:
        raw = scores.raw if columns is None else scores.raw[:, columns]
        own = scores.parent[np.isfinite(raw).all(axis=1)]
        counts.append(np.bincount(np.searchsorted(parents, own), minlength=len(parents)))
    found: Ints = np.min(counts, axis=0)
    return found


def most_rollouts(scores: SampledScores) -> int:
    """The most rollouts of a prompt."""
    return int(np.unique(scores.parent, return_counts=True)[1].max(initial=0))


def _curves(scores: SampledScores, m: int) -> SetCurves:
    at = np.unique(scores.parent, return_inverse=True)[1].reshape(-1)
    return set_curves(scores.dims, scores.raw, at, m=m)


def _grades(
    scores: SampledScores, bars: int, line: int, graded: bool, kept: Mapping[int | None, Ints]
) -> list[GradeShares]:
    """Grades by m (None: all rollouts), each over the parents that are kept for it."""
    judged = PromptScores(dims=scores.dims, raw=scores.raw)
    level, names = levels_of(scores.dims[bars], scores.raw[:, bars], graded)
    known = judged.valid[:, bars] & judged.valid[:, line]
    looked = np.isfinite(scores.refused)
    found = []
    for m, parents in kept.items():
        rows = known & np.isin(scores.parent, parents)
        shares = [
            grade_shares(level[own], len(names), what[own], scores.parent[own], m)
            for own, what in ((rows, judged.passed[:, line]), (rows & looked, scores.refused == 1))
        ]
        found.append(replace(shares[0], refusal_rate=shares[1].pass_rate))
    return found


def _refusal_rate(scores: SampledScores) -> Estimate:
    means = parent_means(scores.refused[:, None], scores.parent)
    (found,) = clustered_means(means, np.arange(len(means)), seed=SEED)
    return found


def _levels(scores: SampledScores, bars: int, graded: bool) -> list[Level]:
    judged = PromptScores(dims=scores.dims, raw=scores.raw)
    level, names = levels_of(scores.dims[bars], scores.raw[:, bars], graded)
    others = np.delete(judged.rewards, bars, axis=1)
    mean = others.mean(axis=1) if others.shape[1] else judged.rewards[:, bars]
    total = int((level >= 0).sum())
    found = []
    for i, name in enumerate(names):
        n = int((level == i).sum())
        own = mean[np.isfinite(mean) & (level == i)]
        five = (
            tuple(float(q) for q in np.quantile(own, (0, 0.25, 0.5, 0.75, 1))) if own.size else None
        )
        found.append(
            Level(
                name=name,
                n=n,
                share=n / total if total else 0.0,
                scored=len(own),
                mean=float(own.mean()) if own.size else None,
                quartiles=five,  # type: ignore[arg-type]
            )
        )
    return found


def only(scores: SampledScores, parents: Sequence[int] | Ints) -> SampledScores:
    """The rollouts of these parents."""
    return scores.rows(np.isin(scores.parent, parents))


@lru_cache(maxsize=32)
def scores_of(sampling_id: int, judges: Key, kind: str) -> SampledScores:
    """A finished sampling's scores never change, so they are read once."""
    if not kind:
        found = judges_of_key(judges)
        return sampled_scores(sampling_id, found, [judge.version for judge in found])
    scores = scores_of(sampling_id, judges, "")
    prompts = Prompt.objects.filter(pk__in=np.unique(scores.prompt).tolist(), kind=kind)
    return scores.rows(np.isin(scores.prompt, list(prompts.values_list("pk", flat=True))))
