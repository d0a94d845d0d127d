"""Figures of merit and their differences: policy summaries, Wilson, sign flips, Holm, win rate and
the alignment-tax matrix.

Rollouts of one parent prompt (a seed prompt and its rewrites) are not independent, so resampling
and sign flips go by parent. NaN is no score; an undefined figure is None. Fronts are in `pareto`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from alignment.method.records import Dimension, Floats, PromptScores
from alignment.method.resampling import (
    LEVEL,
    RESAMPLES,
    UNDEFINED,
    Estimate,
    blocks,
    clustered_means,
    drawn_sums,
    estimate,
    group_of,
    parent_means,
    ratios,
    sums_by_group,
)

FLIPS = 9999


@dataclass(frozen=True, kw_only=True)
class PolicySummary:
    """What a table says of one policy on one prompt set, in the order of the dimensions."""

    rewards: tuple[Estimate, ...]
    pass_rates: tuple[Estimate, ...]
    joint_pass_rate: Estimate


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """Win rate over what was judged in both orders, and the share that was not."""

    rate: Estimate
    invalid_share: float | None


@dataclass(frozen=True, kw_only=True)
class TaxMatrix:
    """Alignment tax: rows are rounds 1..R, columns dimensions; None where there is no tax.

    to_start: mean after the last round less the mean of the start policy.
    """

    tax: tuple[tuple[float | None, ...], ...]
    to_start: tuple[float | None, ...]


def policy_summary(
    dims: tuple[Dimension, ...],
    raw: Floats,
    parent: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> PolicySummary:
    """Mean rewards and pass rates per dimension and the joint pass rate from raw scores (R, K).

    Each is a mean over parents of the mean of a parent's valid values, so that invalid scores make
    no parent count less. Intervals are bootstraps of parents; of a rate with one outcome a parent,
    Wilson's.
    """
    scores = PromptScores(dims=dims, raw=raw)
    passed = np.where(scores.valid, scores.passed, np.nan)
    joint = np.where(scores.jointly_valid, scores.passed.all(axis=1), np.nan)
    columns = np.column_stack([scores.rewards, passed, joint])
    means = parent_means(columns, parent)
    found = clustered_means(means, np.arange(len(means)), seed=seed, resamples=resamples)
    K = len(dims)
    outcomes = np.isfinite(columns).sum(axis=0)
    rates = [rate_of(found[k], int(outcomes[k])) for k in range(K, 2 * K + 1)]
    return PolicySummary(rewards=found[:K], pass_rates=tuple(rates[:K]), joint_pass_rate=rates[K])


def rate_of(found: Estimate, outcomes: int) -> Estimate:
    """A rate, mean over parents of so many binary outcomes in all, with Wilson's interval where
    each parent has one."""
    once = found.value is not None and found.n == found.parents == outcomes
    return wilson(round((found.value or 0.0) * found.n), found.n) if once else found


def wilson(successes: int, n: int) -> Estimate:
    """Rate and 95 % Wilson interval of one binary outcome per prompt (Wilson 1927)."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} prompts cannot succeed.")
    if n == 0:
        return UNDEFINED
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At none and at all the bound is exactly 0 and 1, which rounding would miss.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(value=p, low=low, high=high, n=n, parents=n)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    parent: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean of first - second, both (seeds, prompts), with a bootstrap over seeds and parents.

    Cells without both values are left out. `parent` is (prompts,).
    """
    change = _differences(first, second)
    valid = np.isfinite(change)
    columns = [np.where(valid, change, 0.0), valid.astype(np.float64)]
    totals = drawn_sums(columns, parent, seed=seed, resamples=resamples)
    parents = len(np.unique(np.asarray(parent)[valid.any(axis=0)]))
    return estimate(change[valid], ratios(totals[:, 0], totals[:, 1]), parents=parents)


def sign_flip_p(
    first: ArrayLike, second: ArrayLike, parent: ArrayLike, *, seed: int, flips: int = FLIPS
) -> float | None:
    """Two-sided p of no difference between first and second, both (seeds, prompts).

    Differences are averaged over seeds, then the signs of each parent's prompts flip together:
    p = (1 + b) / (1 + B), b of B flips reaching the observed |sum|. None without a difference to
    flip.
    """
    change = _differences(first, second)
    number = np.isfinite(change).sum(axis=0)
    mean = np.nansum(change, axis=0)[number > 0] / number[number > 0]
    group, groups = group_of(np.asarray(parent)[number > 0])
    if groups == 0:
        return None
    sums = np.bincount(group, weights=mean, minlength=groups)
    observed = abs(math.fsum(sums))
    # A flip that gives the same sum in another order of addition counts as reaching it.
    slack = 1e-12 * float(np.abs(sums).sum())
    rng = np.random.default_rng(seed)
    reached = 0
    for size in blocks(groups, flips):
        signs = rng.integers(0, 2, size=(size, groups)) * 2.0 - 1.0
        reached += int((np.abs(signs @ sums) >= observed - slack).sum())
    return (1 + reached) / (1 + flips)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjusted p over a family of tests (Holm 1979); an undefined one stays None."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = highest
    return tuple(adjusted)


def win_rate(
    shown_first: ArrayLike,
    shown_second: ArrayLike,
    parent: ArrayLike,
    run_seed: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> WinRate:
    """Win rate against the reference: (wins + 0.5 ties) / valid, both orders averaged.

    Outcomes (C,) for the policy, shown first and shown second: 1 win, 0.5 tie, 0 loss, NaN
    invalid; parent (C,) and run_seed (C,) of each. One is valid when both of its orders are. The
    interval is a bootstrap over run seeds and parents.
    """
    orders = np.stack([np.asarray(o, dtype=np.float64) for o in (shown_first, shown_second)])
    if not np.isin(orders[np.isfinite(orders)], (0.0, 0.5, 1.0)).all():
        raise ValueError("An outcome is 1 for a win, 0.5 for a tie, 0 for a loss, or NaN.")
    average = orders.mean(axis=0)
    if not average.size:
        return WinRate(rate=estimate(average, average, parents=0), invalid_share=None)
    valid = np.isfinite(average)
    (at, S), (group, P) = group_of(run_seed), group_of(parent)
    columns = np.column_stack([np.where(valid, average, 0.0), valid])
    sums, counts = sums_by_group(columns, at * P + group, S * P).T.reshape(2, S, P)
    totals = drawn_sums([sums, counts], np.arange(P), seed=seed, resamples=resamples)
    drawn = ratios(totals[:, 0], totals[:, 1])
    rate = estimate(average[valid], drawn, parents=int((counts.sum(axis=0) > 0).sum()))
    return WinRate(rate=rate, invalid_share=float(1 - valid.mean()))


def alignment_tax(
    means: Sequence[Sequence[float | None]], aligned: Sequence[int | None]
) -> TaxMatrix:
    """tax[j, k] = mean of k after round j less its mean after the round that aligned k, j later.

    means: a row for the start policy, then one per round. aligned: the dimension's index that
    each round aligned, None for a simultaneous one, which aligns all. Where several rounds aligned
    k the latest before j counts, and round j itself has no tax on what it aligns.
    """
    if len(means) != len(aligned) + 1:
        raise ValueError(f"{len(aligned)} rounds need {len(aligned) + 1} rows of means.")
    since: dict[int, int] = {}
    rows = []
    for j, focus in enumerate(aligned, 1):
        every = range(len(means[0]))
        now = set(every if focus is None else [focus])
        row = (
            _less(means[j][k], means[since[k]][k]) if k in since.keys() - now else None
            for k in every
        )
        rows.append(tuple(row))
        since |= dict.fromkeys(now, j)
    to_start = (_less(last, first) for last, first in zip(means[-1], means[0], strict=True))
    return TaxMatrix(tax=tuple(rows), to_start=tuple(to_start))


def _differences(first: ArrayLike, second: ArrayLike) -> Floats:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 2 or len(one) == 0:
        raise ValueError(f"Arms need equal shapes (seeds, prompts): {one.shape}, {other.shape}.")
    return one - other


def _less(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base
