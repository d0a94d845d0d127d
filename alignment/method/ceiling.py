"""How far the rewards of one prompt reach: counts, curves over m, spread and volume.

Everything is measured on stored scores of one prompt's rollouts; an undefined number is None,
never NaN. Deciding what the numbers mean for a prompt is in `mining`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from alignment.method.pareto import hypervolume
from alignment.method.records import DECIMALS, Floats, Ints, PromptScores


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many rollouts of a prompt are valid and pass; `J` means on every dimension at once.

    n: rollouts; n_k: valid on k; c_k: of those, pass k; n_J: valid on all; c_J: of those, pass
    all; c_kJ: of the n_J, pass k.
    """

    n: int
    n_k: tuple[int, ...]
    c_k: tuple[int, ...]
    n_J: int
    c_J: int
    c_kJ: tuple[int, ...]

    @property
    def p_k(self) -> tuple[float | None, ...]:
        """Pass rate of each dimension on its own valid rollouts."""
        return tuple(_share(c, n) for c, n in zip(self.c_k, self.n_k, strict=True))

    @property
    def p_J(self) -> float | None:
        """Rate of passing every dimension at once."""
        return _share(self.c_J, self.n_J)

    @property
    def p_kJ(self) -> tuple[float | None, ...]:
        """Pass rate of each dimension on the jointly valid rollouts, as the rule `capped` uses."""
        return tuple(_share(c, self.n_J) for c in self.c_kJ)

    def decided(self, min_valid: int | None = None) -> bool:
        """Whether enough rollouts are valid for a verdict; None: the default of `n` rollouts."""
        needed = default_min_valid(self.n) if min_valid is None else min_valid
        return min((*self.n_k, self.n_J)) >= needed


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A quantity over m rollouts, m = 1, 2, 4, ... n; both empty where nothing is valid."""

    m: tuple[int, ...]
    value: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The ceiling of a prompt; per-dimension tuples follow the order of the dimensions.

    mean_raw, spread, reward_variance, joint_attainment: on the jointly valid rollouts.
    pass_at, best_of: per dimension on its own valid rollouts. clipped: share outside the scale.
    """

    counts: Counts
    pass_at: tuple[Curve, ...]
    joint_pass_at: Curve
    best_of: tuple[Curve, ...]
    joint_attainment: Curve
    mean_raw: tuple[float | None, ...]
    spread: tuple[float | None, ...]
    reward_variance: float | None
    clipped: tuple[float | None, ...]


def default_min_valid(n: int) -> int:
    """The valid rollouts that a verdict needs of `n`: half of them, at least 4."""
    return max(4, (n + 1) // 2)


def count(scores: PromptScores) -> Counts:
    """Counts of one prompt; equal texts count as often as they were sampled."""
    joint = scores.passed[scores.jointly_valid]
    return Counts(
        n=len(scores.raw),
        n_k=_integers(scores.valid.sum(axis=0)),
        c_k=_integers(scores.passed.sum(axis=0)),
        n_J=len(joint),
        c_J=int(joint.all(axis=1).sum()),
        c_kJ=_integers(joint.sum(axis=0)),
    )


def ceiling(scores: PromptScores) -> Ceiling:
    """All numbers of one prompt's ceiling but the volumes, which need a common m."""
    counts = count(scores)
    joint = scores.rewards[scores.jointly_valid]
    columns = [scores.rewards[scores.valid[:, k], k] for k in range(len(scores.dims))]
    raw = scores.raw[scores.jointly_valid]
    return Ceiling(
        counts=counts,
        pass_at=tuple(pass_curve(n, c) for n, c in zip(counts.n_k, counts.c_k, strict=True)),
        joint_pass_at=pass_curve(counts.n_J, counts.c_J),
        best_of=tuple(best_of_curve(column) for column in columns),
        joint_attainment=best_of_curve(joint.min(axis=1)),
        mean_raw=tuple(float(c.mean()) if c.size else None for c in raw.T),
        spread=spread(joint),
        reward_variance=reward_variance(joint),
        clipped=tuple(d.clipped_share(scores.raw[:, k]) for k, d in enumerate(scores.dims)),
    )


def curve_sizes(n: int) -> tuple[int, ...]:
    """The m of every curve over n rollouts: the powers of two below n, then n; none for n = 0."""
    return (*(2**i for i in range(n.bit_length()) if 2**i < n), n) if n else ()


def pass_at(n: int, c: int, m: int) -> float:
    """Unbiased Pass@m, the chance that m of n rollouts hold one of the c that pass.

    1 - C(n - c, m) / C(n, m) for 1 <= m <= n (Chen et al., 2107.03374), from whole numbers.
    """
    _check_m(n, m)
    if not 0 <= c <= n:
        raise ValueError(f"{c} of {n} rollouts cannot pass.")
    every = math.comb(n, m)
    return (every - math.comb(n - c, m)) / every


def pass_curve(n: int, c: int) -> Curve:
    """Pass@m over m. At m = n it only says whether c >= 1, so decide nothing there."""
    sizes = curve_sizes(n)
    return Curve(m=sizes, value=tuple(pass_at(n, c, m) for m in sizes))


def best_of(values: ArrayLike, m: int) -> float:
    """Unbiased best-of-m: the expected largest of m of the n values, drawn without replacement.

    E[max of m] = sum_i r_(i) C(i - 1, m - 1) / C(n, m), r ascending, i from 1, 1 <= m <= n.
    """
    ascending = np.sort(np.asarray(values, dtype=np.float64))
    _check_m(len(ascending), m)
    return float(np.dot(_best_of_weights(len(ascending), m), ascending))


def best_of_curve(values: ArrayLike) -> Curve:
    """Best-of-m over m for values (n,); on min_k r_k it is the best-of-m joint attainment."""
    ascending = np.sort(np.asarray(values, dtype=np.float64))
    sizes = curve_sizes(len(ascending))
    return Curve(m=sizes, value=tuple(best_of(ascending, m) for m in sizes))


def spread(rewards: Floats) -> tuple[float | None, ...]:
    """Population standard deviation per dimension of jointly valid rewards (n, K); n >= 2.

    Rounded, so that of a constant dimension it is 0, which the rounding of its mean would hide.
    """
    if len(rewards) < 2:
        return tuple(None for _ in rewards.T)
    return tuple(float(s) for s in np.round(rewards.std(axis=0), DECIMALS))


def reward_variance(rewards: Floats) -> float | None:
    """Trace of the population covariance of the reward vectors (n, K); None below n = 2."""
    if len(rewards) < 2:
        return None
    return round(float(rewards.var(axis=0).sum()), DECIMALS)


def attainable_volume(rewards: Floats, *, m: int, seed: int, subsets: int = 128) -> float | None:
    """Mean hypervolume against 0 of m of the jointly valid reward vectors (n, K).

    Over `subsets` seeded subsets, or all C(n, m) of them where there are no more; K = 1: the
    expected maximum, exactly. None where n < m: volumes at different m are not comparable.
    """
    if m < 1:
        raise ValueError(f"A volume needs m of at least 1, not {m}.")
    if len(rewards) < m:
        return None
    if rewards.shape[1] == 1:
        return best_of(rewards[:, 0], m)
    chosen = _subsets(len(rewards), m, seed=seed, most=subsets)
    return math.fsum(hypervolume(rewards[rows]) for rows in chosen) / len(chosen)


def coverage_ratio(volume: float | None, pooled: float | None) -> float | None:
    """A prompt's attainable volume over that of all arms' rollouts on its set; None where that is
    0."""
    return None if volume is None or not pooled else volume / pooled


def _subsets(n: int, m: int, *, seed: int, most: int) -> list[Ints]:
    if math.comb(n, m) <= most:
        return [np.asarray(rows, dtype=np.int64) for rows in combinations(range(n), m)]
    rng = np.random.default_rng(seed)
    return [rng.choice(n, size=m, replace=False) for _ in range(most)]


@lru_cache(maxsize=4096)
def _best_of_weights(n: int, m: int) -> Floats:
    every = math.comb(n, m)
    weights = np.array([math.comb(i, m - 1) / every for i in range(n)])
    weights.setflags(write=False)
    return weights


def _check_m(n: int, m: int) -> None:
    if not 1 <= m <= n:
        raise ValueError(f"m must lie between 1 and the {n} rollouts, not {m}.")


def _share(c: int, n: int) -> float | None:
    return c / n if n else None


def _integers(values: Sequence[int] | Ints) -> tuple[int, ...]:
    return tuple(int(v) for v in values)
