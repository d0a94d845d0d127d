"""The ceiling of a set of prompts: means over prompts of curves and numbers, and the shares of
grades among all rollouts and among the best of m.

Numbers of one prompt are in `ceiling`. Rollouts come as raw scores (R, K) with each row's prompt
index (R,); NaN is no score, and an undefined number of a prompt is NaN in arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alignment.method.ceiling import (
    Curve,
    attainable_volume,
    best_of,
    coverage_ratio,
    curve_sizes,
    pass_at,
    reward_variance,
)
from alignment.method.mining import tally
from alignment.method.pareto import hypervolume
from alignment.method.records import Bools, Dimension, Floats, Ints, PromptScores
from alignment.method.resampling import parent_means

SUBSETS = 128
MOST_VOLUMES = 20_000
LEVELS = 5


@dataclass(frozen=True, kw_only=True)
class MeanCurve(Curve):
    """A mean over the same prompts at every m. prompts: how many they are."""

    prompts: int


@dataclass(frozen=True, kw_only=True)
class SetCurves:
    """Mean Pass@m per dimension and jointly, and the mean best-of-m of min_k r_k, all over the
    same prompts."""

    pass_at: tuple[MeanCurve, ...]
    joint_pass_at: MeanCurve
    joint_attainment: MeanCurve


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptNumbers:
    """Of P prompts, each (P,), at a common m: pass rate and Pass@m of all dimensions at once,
    best-of-m of min_k r_k, reward-dimension variance, attainable volume, and its share of the
    set's pooled volume where that is given. m is at most the least jointly valid rollouts asked
    for."""

    m: int
    joint_pass_rate: Floats
    joint_pass_at: Floats
    joint_attainment: Floats
    reward_variance: Floats
    volume: Floats
    coverage: Floats

    NAMES = (
        "joint_pass_rate",
        "joint_pass_at",
        "joint_attainment",
        "reward_variance",
        "volume",
        "coverage",
    )


@dataclass(frozen=True, kw_only=True)
class GradeShares:
    """Shares of rollouts by level of one dimension, means over prompts, and the pass rate of
    another on them. m: the best of m by level, drawn without replacement; None: all rollouts.
    refusal_rate: of the same rollouts those that decline, None where it is not known."""

    m: int | None
    share: tuple[float, ...]
    pass_rate: float | None
    prompts: int
    refusal_rate: float | None = None


def most_have(n: Ints, m: int) -> bool:
    """Whether at least half of the prompts with a rollout, of n (P,) valid ones each, have m;
    False where none has one."""
    return bool(0 < (n > 0).sum() <= 2 * (n >= m).sum())


def common_m(n: Ints) -> int:
    """How far a curve over prompts of n (P,) valid rollouts goes: to the largest of `curve_sizes`
    that at least half of the prompts with a rollout have; 0 where none has one."""
    return max((m for m in curve_sizes(int(n.max(initial=0))) if most_have(n, m)), default=0)


def set_curves(dims: tuple[Dimension, ...], raw: Floats, prompt: Ints, *, m: int) -> SetCurves:
    """The curves up to m, from raw scores (R, K) grouped by prompt (R,), of the prompts with m
    rollouts that are valid on every dimension."""
    scores = PromptScores(dims=dims, raw=raw)
    joint = scores.jointly_valid
    n_J = np.bincount(prompt[joint], minlength=int(prompt.max(initial=-1)) + 1)
    has_m = n_J >= max(1, m)
    kept = has_m[prompt]

    def passing(valid: Bools, passed: Bools) -> MeanCurve:
        n, c = (np.bincount(prompt[rows], minlength=len(n_J)) for rows in (valid, valid & passed))
        return mean_pass_curve(n[has_m], c[has_m], m)

    least = scores.rewards[joint & kept].min(axis=1)
    return SetCurves(
        pass_at=tuple(
            passing(valid, passed)
            for valid, passed in zip(scores.valid.T, scores.passed.T, strict=True)
        ),
        joint_pass_at=passing(joint, np.asarray(scores.passed.all(axis=1))),
        joint_attainment=mean_best_of_curve(least, prompt[joint & kept], m),
    )


def mean_pass_curve(n: Ints, c: Ints, m: int) -> MeanCurve:
    """Mean Pass@1 to Pass@m over prompts with n_i >= m rollouts of which c_i pass."""
    kinds, times = np.unique(np.stack([n, c], axis=1), axis=0, return_counts=True)
    found = [(int(a), int(b), int(t)) for (a, b), t in zip(kinds, times, strict=True)]
    sizes = curve_sizes(m) if found else ()
    sums = (sum(pass_at(a, b, size) * t for a, b, t in found) for size in sizes)
    return MeanCurve(m=sizes, value=tuple(total / len(n) for total in sums), prompts=len(n))


def mean_best_of_curve(values: Floats, prompt: Ints, m: int) -> MeanCurve:
    """Mean best-of-1 to best-of-m over prompts of m or more values (R,) grouped by prompt (R,)."""
    groups = [values[rows] for rows in rows_by_prompt(prompt)]
    sizes = curve_sizes(m) if groups else ()
    means = tuple(float(np.mean([best_of(g, size) for g in groups])) for size in sizes)
    return MeanCurve(m=sizes, value=means, prompts=len(groups))


def prompt_numbers(
    dims: tuple[Dimension, ...],
    raw: Floats,
    prompt: Ints,
    *,
    m: int,
    seeds: Sequence[int],
    pooled: float | None = None,
) -> PromptNumbers:
    """The numbers of P prompts at m rollouts, prompt indices 0 to P - 1.

    seeds (P,): of the volumes' subsets. pooled: the volume of all arms' rollouts on the set.
    A prompt with fewer than m jointly valid rollouts has only its pass rate and variance.
    """
    scores = PromptScores(dims=dims, raw=raw)
    P = len(seeds)
    columns = {name: np.full(P, np.nan) for name in PromptNumbers.NAMES}
    subsets = max(4, min(SUBSETS, MOST_VOLUMES // max(P, 1)))
    joint = np.flatnonzero(scores.jointly_valid)
    every = np.asarray(scores.passed.all(axis=1))
    for rows in rows_by_prompt(prompt[joint]):
        at = joint[rows]
        p, rewards, c = int(prompt[at[0]]), scores.rewards[at], int(every[at].sum())
        columns["joint_pass_rate"][p] = c / len(at)
        columns["reward_variance"][p] = _number(reward_variance(rewards))
        if len(at) < m:
            continue
        columns["joint_pass_at"][p] = pass_at(len(at), c, m)
        columns["joint_attainment"][p] = best_of(rewards.min(axis=1), m)
        volume = attainable_volume(rewards, m=m, seed=seeds[p], subsets=subsets)
        columns["volume"][p] = _number(volume)
        columns["coverage"][p] = _number(coverage_ratio(volume, pooled))
    return PromptNumbers(m=m, **columns)


def prompt_spreads(dims: tuple[Dimension, ...], raw: Floats, prompt: Ints) -> Floats:
    """Spread (P, K) of the rewards of each prompt's jointly valid rollouts, NaN below two."""
    counted = tally(dims, raw, prompt)
    return np.where(counted.n_J[:, None] < 2, np.nan, counted.spread)


def clipped_shares(dims: tuple[Dimension, ...], raw: Floats, prompt: Ints) -> Floats:
    """Share (P, K) of each prompt's valid scores that lie outside their scale, NaN without any."""
    low, high = ([getattr(d, end) for d in dims] for end in ("scale_low", "scale_high"))
    outside = np.where(np.isfinite(raw), (raw < low) | (raw > high), np.nan)
    return parent_means(outside, prompt)


def pooled_volume(arms: Sequence[Floats]) -> float | None:
    """Hypervolume against 0 of all arms' rewards (n, K) on a prompt set; None where none is valid.

    What coverage ratios are shares of.
    """
    known = [rewards[np.isfinite(rewards).all(axis=1)] for rewards in arms]
    return hypervolume(np.concatenate(known)) if any(map(len, known)) else None


def are_grades(dimension: Dimension, raw: Floats) -> bool:
    """Whether raw scores are whole grades, of a scale that has at most ten of them."""
    known = raw[np.isfinite(raw)]
    low, high = dimension.scale_low, dimension.scale_high
    whole = low == int(low) and high == int(high) and high - low < 10
    return bool(whole and (known == np.round(known)).all())


def levels_of(dimension: Dimension, raw: Floats, graded: bool) -> tuple[Ints, tuple[str, ...]]:
    """The level (R,) of each raw score, lowest first, -1 for none, and the levels' names.

    graded: whole grades are the levels, see `are_grades`; else five equal parts of the reward.
    What is shown side by side needs the same levels.
    """
    known = np.isfinite(raw)
    low, high = dimension.scale_low, dimension.scale_high
    if graded:
        grades = range(int(low), int(high) + 1)
        level = np.where(known, np.clip(np.nan_to_num(raw), low, high) - low, -1).astype(np.int64)
        if dimension.higher_is_better:
            return level, tuple(map(str, grades))
        return np.where(known, len(grades) - 1 - level, -1), tuple(map(str, reversed(grades)))
    part = np.clip(np.nan_to_num(dimension.normalise(raw)) * LEVELS, 0, LEVELS - 1)
    names = tuple(f"{i / LEVELS:g} to {(i + 1) / LEVELS:g}" for i in range(LEVELS))
    return np.where(known, part.astype(np.int64), -1), names


def grade_shares(
    level: Ints, levels: int, passed: Bools, prompt: Ints, m: int | None
) -> GradeShares:
    """Shares by level (R,) of 0 to levels - 1, and the pass rate on another dimension (R,).

    Rows have a valid score on both. With m: P(best <= g) = C(n_g, m) / C(n, m) for n_g rollouts at
    or below g; the best rollout is any of its level alike, so it passes at that level's rate.
    Prompts with fewer than m rollouts are left out.
    """
    found = []
    for rows in rows_by_prompt(prompt):
        if m is not None and len(rows) < m:
            continue
        counts = np.bincount(level[rows], minlength=levels)
        rate = np.bincount(level[rows], weights=passed[rows], minlength=levels)
        share = counts / len(rows) if m is None else _best_shares(tuple(counts.tolist()), m)
        found.append((share, float((share * rate / np.maximum(counts, 1)).sum())))
    if not found:
        return GradeShares(m=m, share=(0.0,) * levels, pass_rate=None, prompts=0)
    share = np.mean([s for s, _ in found], axis=0)
    return GradeShares(
        m=m,
        share=tuple(float(s) for s in share),
        pass_rate=float(np.mean([rate for _, rate in found])),
        prompts=len(found),
    )


@lru_cache(maxsize=4096)
def _best_shares(counts: tuple[int, ...], m: int) -> Floats:
    """Chance that the best of m drawn without replacement has each level."""
    n, below = sum(counts), np.cumsum(counts)
    upto = np.array([1 - pass_at(n, n - int(b), m) for b in below])
    return np.diff(upto, prepend=0.0)


def rows_by_prompt(prompt: Ints) -> list[Ints]:
    """The rows of each prompt that has any, by ascending prompt index."""
    order = np.argsort(prompt, kind="stable")
    cuts = np.flatnonzero(np.diff(prompt[order])) + 1
    return [rows for rows in np.split(order, cuts) if len(rows)]


def _number(value: float | None) -> float:
    return np.nan if value is None else value
