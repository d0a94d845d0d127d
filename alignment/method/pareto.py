"""Fronts, hypervolumes and contributions of points where larger is better on every axis.

Equal points, common where scores are discrete, add nothing to a volume. Which policies are
compared, and the reference point stored with a comparison, are the caller's.
"""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike

from alignment.method.records import Bools, Floats

Reference = float | Sequence[float]


def front_mask(points: ArrayLike) -> Bools:
    """(n,): True where no point of `points`, shape (n, K), dominates this one.

    A point dominates another when it is at least as large on every axis and larger on one, so
    equal points of the front are all on it.
    """
    array = _checked(points)
    if len(array) == 0:
        return np.zeros(0, dtype=np.bool_)
    mask = moocore.is_nondominated(array, maximise=True, keep_weakly=True)
    return np.asarray(mask, dtype=np.bool_)


def hypervolume(points: ArrayLike, *, reference: Reference = 0.0) -> float:
    """Volume that `points`, shape (n, K), dominate above the reference point; K = 1: a length.

    A point that does not exceed the reference on every axis adds nothing; no points give 0.
    """
    array = _checked(points)
    if len(array) == 0:
        return 0.0
    corner = _corner(array, reference)
    above = _distinct(array[(array > corner).all(axis=1)])
    if len(above) == 0:
        return 0.0
    if above.shape[1] == 1:
        return float(above.max() - corner[0])
    return float(moocore.hypervolume(above, ref=corner, maximise=True))


def contributions(points: ArrayLike, *, reference: Reference = 0.0) -> Floats:
    """(n,): the hypervolume lost when only this point is left out; equal points have none.

    A dominated point counts when the point that dominates it is the one left out. It computes
    n + 1 volumes, so it is for the points of a plot, not for rollouts.
    """
    array = _checked(points)
    whole = hypervolume(array, reference=reference)
    others = (np.delete(array, i, axis=0) for i in range(len(array)))
    lost = [whole - hypervolume(rest, reference=reference) for rest in others]
    return np.maximum(np.asarray(lost, dtype=np.float64), 0.0)


def _checked(points: ArrayLike) -> Floats:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 and array.size:
        raise ValueError(f"Points need shape (points, dimensions), not {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("A point with an undefined coordinate has no place on a front.")
    return array


def _distinct(array: Floats) -> Floats:
    # numpy's unique rows take longer than the volume of the few that they leave.
    rows = dict.fromkeys(map(tuple, array.tolist()))
    return np.array(list(rows), dtype=np.float64).reshape(-1, array.shape[1])


def _corner(array: Floats, reference: Reference) -> Floats:
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape not in ((), (array.shape[1],)) or not np.isfinite(corner).all():
        raise ValueError(f"The reference point {reference} does not fit {array.shape[1]} axes.")
    return np.broadcast_to(corner, (array.shape[1],)).copy()
