"""Which target rewards the stored rollouts could reach, without training (MAP, arXiv 2410.19198).

A target is feasible when some reweighting of each prompt's rollouts has mean rewards at or above
it. Where targets come from, and which rollouts are read, is the caller's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog, minimize
from scipy.sparse import csr_array, hstack

from alignment.method.records import Floats, Ints

MOST_LAMBDA = 200.0  # of a dimension whose rewards range from 0 to 1
SLACK = 1e-9
EDGE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """Whether a target is within reach, and how it would be weighed.

    slack: the largest t with every mean reward at least its target + t; below 0 the target is out
    of reach by that much. weights: MAP's lambda per dimension, None out of reach. on_edge: next to
    nothing beyond the target is feasible; lambda may then grow without bound, and is where the
    search stopped.
    """

    feasible: bool
    slack: float
    weights: tuple[float, ...] | None
    on_edge: bool

    @property
    def shortfall(self) -> float:
        """By how much the target is out of reach; 0 within it."""
        return max(0.0, -self.slack)


def feasibility(rewards: Floats, prompt: ArrayLike, target: ArrayLike) -> Feasibility:
    """Whether rewards (R, K) of rollouts, grouped by prompt (R,), can be reweighed to a target.

    Each prompt keeps its weight of 1 / P. Rows with an undefined reward are left out. Raises
    ValueError without any row or for a target of another length.
    """
    aim = np.asarray(target, dtype=np.float64)
    known = np.isfinite(rewards).all(axis=1)
    kept = rewards[known]
    if not len(kept) or aim.shape != (rewards.shape[1],) or not np.isfinite(aim).all():
        raise ValueError(f"{len(kept)} rollouts and a target {aim} do not make a question.")
    group = np.unique(np.asarray(prompt)[known], return_inverse=True)[1].reshape(-1)
    slack = _slack(kept, group, aim)
    if slack < -SLACK:
        return Feasibility(feasible=False, slack=slack, weights=None, on_edge=False)
    # A dimension's lambda is as large as its rewards' range is small.
    scale = np.ptp(kept, axis=0)
    scale[scale == 0] = 1.0
    found = _weights(kept / scale, group, aim / scale)
    return Feasibility(
        feasible=True,
        slack=slack,
        weights=tuple(float(w) for w in found / scale),
        on_edge=slack <= EDGE or bool((found >= MOST_LAMBDA).any()),
    )


def _slack(rewards: Floats, group: Ints, target: Floats) -> float:
    """The linear programme: q of each rollout, and t; maximise t."""
    R, K = rewards.shape
    P = int(group.max()) + 1
    one_each = csr_array((np.ones(R), (group, np.arange(R))), shape=(P, R))
    solved = linprog(
        np.append(np.zeros(R), -1.0),
        A_ub=hstack([csr_array(-rewards.T), csr_array(np.ones((K, 1)))]),
        b_ub=-target,
        A_eq=hstack([one_each, csr_array((P, 1))]),
        b_eq=np.full(P, 1 / P),
        bounds=[(0, None)] * R + [(None, None)],
        method="highs",
    )
    assert solved.status == 0, f"the linear programme did not end: {solved.message}"
    return float(solved.x[-1]) + 0.0  # never the negative zero that a solver may give


def _weights(rewards: Floats, group: Ints, target: Floats) -> Floats:
    """lambda >= 0 that maximises lambda . target - log mean exp(lambda . r)."""
    sizes = np.bincount(group)
    log_share = -np.log(len(sizes) * sizes[group])

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = rewards @ weights + log_share
        top = logits.max()
        mass = np.exp(logits - top)
        value = top + np.log(mass.sum()) - weights @ target
        return float(value), rewards.T @ (mass / mass.sum()) - target

    K = len(target)
    start = np.zeros(K)
    solved = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, MOST_LAMBDA)] * K)
    return np.asarray(solved.x, dtype=np.float64)
