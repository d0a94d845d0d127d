"""Records that every part of the method shares: a dimension and the scores of one prompt.

A score that a judge could not give is NaN (any value that is not finite counts as none), never a
zero. Raw scores are kept as the judges gave them; rewards are derived here. What is stored where,
and which judge gave a score, is not the business of this package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# Averages and differences of scores are compared at this many decimals, so that their rounding
# neither reaches a threshold nor misses it.
DECIMALS = 12


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One reward axis: its judge's raw scale, which end is best, and its bar in raw units.

    `scale_low` and `scale_high` are the raw scores that bound the scale; an unbounded score has
    the quantiles of its frozen reference set there. Raises ValueError for an empty or unbounded
    scale and for a bar that every score of the scale passes, or none.
    """

    name: str
    scale_low: float
    scale_high: float
    bar: float
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        low, high, bar = self.scale_low, self.scale_high, self.bar
        if not self.name.strip():
            raise ValueError("A dimension needs a name.")
        if not (np.isfinite([low, high, bar]).all() and low < high):
            raise ValueError(
                f"Dimension {self.name!r} needs finite numbers with scale_low below scale_high: "
                f"scale {low:g} to {high:g}, bar {bar:g}."
            )
        if not low <= bar <= high:
            raise ValueError(
                f"The bar {bar:g} of dimension {self.name!r} lies outside its scale "
                f"{low:g} to {high:g}."
            )
        if bar == (low if self.higher_is_better else high):
            raise ValueError(
                f"The bar {bar:g} of dimension {self.name!r} is the worst score of its scale "
                f"{low:g} to {high:g}, so everything would pass."
            )

    def normalise(self, raw: ArrayLike) -> Floats:
        """Rewards in [0, 1], 1 the best, clipped to the scale; NaN where there is no score."""
        scores = np.asarray(raw, dtype=np.float64)
        above_worst = scores - self.scale_low if self.higher_is_better else self.scale_high - scores
        share = above_worst / (self.scale_high - self.scale_low)
        return np.where(np.isfinite(scores), np.clip(share, 0.0, 1.0), np.nan)

    def passes(self, raw: ArrayLike) -> Bools:
        """Whether each raw score reaches the bar; False where there is no score."""
        scores = np.asarray(raw, dtype=np.float64)
        reached = scores >= self.bar if self.higher_is_better else scores <= self.bar
        return np.asarray(reached & np.isfinite(scores))

    def clipped_share(self, raw: ArrayLike) -> float | None:
        """Share of the valid raw scores outside the scale; None where none is valid."""
        scores = np.asarray(raw, dtype=np.float64)
        scores = scores[np.isfinite(scores)]
        if scores.size == 0:
            return None
        return float(np.mean((scores < self.scale_low) | (scores > self.scale_high)))


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptScores:
    """The raw scores of one prompt's n rollouts on K dimensions, shape (n, K), NaN for none."""

    dims: tuple[Dimension, ...]
    raw: Floats

    def __post_init__(self) -> None:
        check_columns(self.dims, self.raw)

    @cached_property
    def valid(self) -> Bools:
        """(n, K): the rollout has a score on the dimension."""
        return np.isfinite(self.raw)

    @cached_property
    def jointly_valid(self) -> Bools:
        """(n,): the rollout has a score on every dimension."""
        return np.asarray(self.valid.all(axis=1))

    @cached_property
    def rewards(self) -> Floats:
        """(n, K): rewards in [0, 1], NaN where there is no score."""
        return rewards_of(self.dims, self.raw)

    @cached_property
    def passed(self) -> Bools:
        """(n, K): the rollout reaches the dimension's bar; False where there is no score."""
        return passes_of(self.dims, self.raw)


def rewards_of(dims: Sequence[Dimension], raw: Floats) -> Floats:
    """Rewards of raw scores, column by column: (n, K) to (n, K)."""
    return np.stack([d.normalise(raw[:, k]) for k, d in enumerate(dims)], axis=1)


def passes_of(dims: Sequence[Dimension], raw: Floats) -> Bools:
    """Which raw scores reach their dimension's bar, column by column: (n, K) to (n, K)."""
    return np.stack([d.passes(raw[:, k]) for k, d in enumerate(dims)], axis=1)


def check_columns(dims: Sequence[Dimension], raw: Floats) -> None:
    """Raises ValueError unless `raw` has one row per rollout and one column per dimension."""
    names = [d.name for d in dims]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"Dimensions need one or more different names, not {names}.")
    if raw.ndim != 2 or raw.shape[1] != len(names):
        raise ValueError(
            f"Scores of {len(names)} dimensions need shape (rollouts, {len(names)}), "
            f"not {raw.shape}."
        )
