"""Arms compared over seeds and prompts: hypervolumes with intervals, and differences at equal
length.

Cells are (seeds, prompts): a policy's mean over its rollouts of a prompt. Resampling goes over
seeds and over parents. Plain differences and their tests are in `statistics`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from alignment.method.records import DECIMALS, Bools, Floats
from alignment.method.resampling import (
    RESAMPLES,
    Estimate,
    drawn_sums,
    interval,
    ratios,
)


def hypervolume_estimate(
    cells: Floats,
    parent: ArrayLike,
    *,
    seed: int,
    reference: float = 0.0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Hypervolume of an arm's mean reward vector above the reference, from cells (S, P, K).

    Of one point it is the product of what each mean exceeds the reference by. None where a
    dimension has no value.
    """
    columns = [*np.moveaxis(cells, 2, 0), *np.isfinite(np.moveaxis(cells, 2, 0)).astype(float)]
    known = _fewest(cells)
    return _estimate(columns, known, parent, lambda t: _volume(t, reference), seed, resamples)


def hypervolume_difference(
    first: Floats, second: Floats, parent: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """Hypervolume of the first arm's mean reward vector less the second's, cells (S, P, K)."""
    both = [np.moveaxis(c, 2, 0) for c in (first, second)]
    columns = [c for one in both for c in (*one, *np.isfinite(one).astype(float))]
    half = 2 * first.shape[2]

    def figure(totals: Floats) -> Floats:
        return _volume(totals[:, :half], 0.0) - _volume(totals[:, half:], 0.0)

    known = _fewest(first - second)
    return _estimate(columns, known, parent, figure, seed, resamples)


def length_adjusted_difference(
    first: ArrayLike,
    second: ArrayLike,
    first_length: ArrayLike,
    second_length: ArrayLike,
    parent: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The difference first - second that is left at equal length, cells (S, P).

    The intercept a of least squares, difference = a + b (first_length - second_length), over the
    cells that have all four values. Where every length is equal it is the plain difference; where
    the lengths differ by one constant nothing tells a from b, and it is undefined.
    """
    d = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    x = np.asarray(first_length, dtype=np.float64) - np.asarray(second_length, dtype=np.float64)
    if d.shape != x.shape or d.ndim != 2:
        raise ValueError(f"Rewards {d.shape} and lengths {x.shape} must be (seeds, prompts).")
    known = np.isfinite(d) & np.isfinite(x)
    d, x = np.where(known, d, np.nan), np.where(known, x, np.nan)
    columns = [known.astype(float), x, d, x * x, x * d]
    return _estimate(columns, known, parent, _intercept, seed, resamples)


def _fewest(cells: Floats) -> Bools:
    """Of cells (S, P, K) those with a value (S, P) on the dimension that has the fewest."""
    known = np.isfinite(cells)
    return np.asarray(known[:, :, known.sum(axis=(0, 1)).argmin()])


def _volume(totals: Floats, reference: float) -> Floats:
    """Products (b,) from the columns' sums (b, 2 K): K of values, then K of counts."""
    K = totals.shape[1] // 2
    means = ratios(totals[:, :K], totals[:, K:])
    return np.asarray(np.maximum(means - reference, 0.0).prod(axis=1))


def _intercept(totals: Floats) -> Floats:
    n, sx, sd, sxx, sxd = totals.T
    variation = n * sxx - sx * sx
    # Rounding leaves a little where the lengths differ by one constant.
    varies = variation > 1e-9 * np.maximum(n * sxx, 1e-300)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(varies, (n * sxd - sx * sd) / variation, np.nan)
        found = np.where(sxx == 0, sd / n, (sd - slope * sx) / n)
    return np.where(n > 0, found, np.nan)


def _estimate(
    columns: Sequence[Floats],
    known: Bools,
    parent: ArrayLike,
    figure: Callable[[Floats], Floats],
    seed: int,
    resamples: int,
) -> Estimate:
    """A figure of column sums with its bootstrap over seeds and parents; columns (S, P), NaN none.

    known: the cells (S, P) that have a say in it. figure: from sums (b, C) to values (b,).
    """
    whole = np.array([[float(np.nansum(c)) for c in columns]])
    (value,) = figure(whole)
    n, parents = int(known.sum()), len(np.unique(np.asarray(parent)[known.any(axis=0)]))
    if not np.isfinite(value):
        return Estimate(value=None, low=None, high=None, n=n, parents=parents)
    drawn = figure(drawn_sums(columns, parent, seed=seed, resamples=resamples))
    low, high = (interval(drawn) if parents > 1 else None) or (None, None)
    return Estimate(value=round(float(value), DECIMALS), low=low, high=high, n=n, parents=parents)
