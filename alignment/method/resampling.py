"""The bootstrap that every interval here comes from: seeded, clustered by parent, in blocks.

Percentile intervals of means over values that are not NaN. Which figures are resampled is in
`statistics` and `agreement`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from alignment.method.records import DECIMALS, Floats, Ints

RESAMPLES = 2000
LEVEL = 0.95
_BLOCK = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its 95 % interval, over `n` values of `parents` independent prompts.

    value is None without values; low and high are None below two parents, whose variation an
    interval needs.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    parents: int


UNDEFINED = Estimate(value=None, low=None, high=None, n=0, parents=0)


def clustered_means(
    values: ArrayLike, parent: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> tuple[Estimate, ...]:
    """Mean of each column of values (R, C), with a percentile bootstrap over parents (R,).

    The mean is over the column's values that are not NaN; all columns share the resamples.
    """
    columns = np.asarray(values, dtype=np.float64)
    group, groups = group_of(parent)
    if columns.ndim != 2 or len(columns) != len(group):
        raise ValueError(f"{columns.shape} values do not fit {len(group)} parents.")
    valid = np.isfinite(columns)
    sums = sums_by_group(np.where(valid, columns, 0.0), group, groups)
    counts = sums_by_group(valid.astype(np.float64), group, groups)
    draws = [ratios(w @ sums, w @ counts) for w in resample_counts(groups, resamples, seed=seed)]
    drawn = np.concatenate(draws) if draws else np.empty((0, columns.shape[1]))
    return tuple(
        estimate(columns[valid[:, c], c], drawn[:, c], parents=int((counts[:, c] > 0).sum()))
        for c in range(columns.shape[1])
    )


def parent_means(values: ArrayLike, parent: ArrayLike) -> Floats:
    """Means (parents, C) of the values (R, C) that are not NaN, by parent in ascending order; NaN
    for a parent without any."""
    columns = np.asarray(values, dtype=np.float64)
    group, groups = group_of(parent)
    valid = np.isfinite(columns)
    sums = sums_by_group(np.where(valid, columns, 0.0), group, groups)
    return ratios(sums, sums_by_group(valid.astype(np.float64), group, groups))


def resample_counts(units: int, resamples: int, *, seed: int) -> Iterator[Floats]:
    """Bootstrap weights in blocks (b, units): how often each of `units` was drawn in a resample."""
    rng = np.random.default_rng(seed)
    for size in blocks(units, resamples):
        drawn = rng.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * units)
        yield times.reshape(size, units).astype(np.float64)


def drawn_sums(
    columns: Sequence[Floats], parent: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Floats:
    """Sums (resamples, C) of columns (S, P) over seeds and parents drawn with replacement.

    A value that is NaN counts as 0.
    """
    group, groups = group_of(parent)
    by_group = [sums_by_group(np.nan_to_num(c).T, group, groups) for c in columns]
    S = len(columns[0])
    seeds = np.random.default_rng([seed, 1]).integers(S, size=(resamples, S))
    draws, start = [], 0
    for weights in resample_counts(groups, resamples, seed=seed):
        chosen = seeds[start : start + len(weights)]
        sums = [np.take_along_axis(weights @ b, chosen, axis=1).sum(axis=1) for b in by_group]
        draws.append(np.stack(sums, axis=1))
        start += len(weights)
    return np.concatenate(draws) if draws else np.empty((0, len(columns)))


def interval(drawn: Floats) -> tuple[float, float] | None:
    """The percentile interval of resampled figures; None where most of them are undefined."""
    known = drawn[np.isfinite(drawn)]
    if 2 * len(known) <= len(drawn):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return round(float(low), DECIMALS), round(float(high), DECIMALS)


def estimate(values: Floats, drawn: Floats, *, parents: int) -> Estimate:
    """The mean of valid values (n,) of so many parents, its interval from the resampled means."""
    if not values.size:
        return UNDEFINED
    low, high = (interval(drawn) if parents > 1 else None) or (None, None)
    value = round(math.fsum(values) / len(values), DECIMALS)
    return Estimate(value=value, low=low, high=high, n=len(values), parents=parents)


def group_of(parent: ArrayLike) -> tuple[Ints, int]:
    """The index (R,) of each row's parent among the different ones, and their number."""
    names, group = np.unique(np.asarray(parent), return_inverse=True)
    return group.reshape(-1), len(names)


def sums_by_group(values: Floats, group: Ints, groups: int) -> Floats:
    """Column sums (groups, C) of values (R, C)."""
    return np.stack([np.bincount(group, weights=c, minlength=groups) for c in values.T], axis=1)


def ratios(total: Floats, number: Floats) -> Floats:
    """total / number, NaN where number is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(number > 0, total / number, np.nan)


def blocks(units: int, rounds: int) -> Iterator[int]:
    """Sizes that add up to `rounds`, each small enough to hold (size, units) numbers at once."""
    size = max(1, _BLOCK // max(1, units))
    while rounds > 0 and units > 0:
        yield min(size, rounds)
        rounds -= size
