"""How far raters agree: percent, Cohen's kappa and Krippendorff's alpha, with intervals.

Intervals come from resampling items, those with the same ratings counted together. Where a
coefficient is undefined its reason is given: raters who all use one category leave chance nothing
to explain, so neither 1.0 nor NaN would be true.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alignment.method.records import DECIMALS, Floats
from alignment.method.resampling import RESAMPLES, blocks, interval, ratios

Given = str | int | float
Rating = Given | None
NOTHING_SHARED = "No item has two ratings."
ONE_CATEGORY = "Every rating is the same, so agreement by chance cannot be told from agreement."
ONE_ANSWER = "One of the two always gave the same answer, so kappa is 0 whatever the other says."
SAME_RATINGS = "Every item has the same ratings, so alpha is the same in every resample."


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A coefficient over `n` items with two ratings or more, or the reason why there is none.

    low and high bound 95 % of the resamples in which it is defined; None where that is half of
    them or fewer, below two items, and where every resample gives the value by construction, of
    which `reason` then speaks.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None


def percent_agreement(
    ratings: Sequence[Sequence[Rating]], *, seed: int, resamples: int = RESAMPLES
) -> Agreement:
    """Share of equal ones among the pairs of ratings of one item; items x raters, None for none."""
    items, times = _alike(_shared(ratings))
    found = [[_equal_pairs(item), math.comb(len(item), 2)] for item in items]
    sums = np.array(found, dtype=np.float64).reshape(-1, 2)

    def share(weights: Floats) -> Floats:
        equal, pairs = (weights @ sums).T
        return np.asarray(equal / pairs)

    return _agreement(share, times=times, seed=seed, resamples=resamples)


def cohen_kappa(
    first: Sequence[Rating], second: Sequence[Rating], *, seed: int, resamples: int = RESAMPLES
) -> Agreement:
    """Cohen's kappa (p_o - p_e) / (1 - p_e) of two raters (Cohen 1960) on the items both rated."""
    items, times = _alike(_shared(list(zip(first, second, strict=True))))
    codes = _codes(items)
    one = _one_hot([codes[item[0]] for item in items], len(codes))
    other = _one_hot([codes[item[1]] for item in items], len(codes))
    equal = (one * other).sum(axis=1)

    def kappa(weights: Floats) -> Floats:
        n = weights.sum(axis=1)
        by_chance = ((weights @ one) * (weights @ other)).sum(axis=1)
        # Times n^2, numerator and denominator are whole numbers, so 0 is exactly 0.
        return ratios(n * (weights @ equal) - by_chance, n * n - by_chance)

    # Where one gives an answer always, the other gives it as often as both do: p_o is p_e.
    is_fixed = any(len({item[rater] for item in items}) == 1 for rater in (0, 1))
    fixed = ONE_ANSWER if is_fixed else None
    return _agreement(kappa, times=times, seed=seed, resamples=resamples, fixed=fixed)


def krippendorff_alpha(
    ratings: Sequence[Sequence[Rating]],
    *,
    level: Literal["nominal", "ordinal", "interval"],
    seed: int,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Krippendorff's alpha 1 - D_o / D_e (2011) of items x raters, None for no rating.

    With N ratings in items of m_u >= 2: D_o = sum_u sum_ij d2(i, j) / (m_u - 1) / N and
    D_e = sum_ij d2(i, j) / (N (N - 1)). d2 is the squared difference, which for nominal ratings
    as unit vectors is 2 where they differ; the factor cancels. `interval` and `ordinal` need
    numbers; for the latter see `_ordinal`.
    """
    items, times = _alike(_shared(ratings))
    is_fixed = times.sum() > 1 and all(Counter(item) == Counter(items[0]) for item in items)
    fixed = SAME_RATINGS if is_fixed else None
    if level == "ordinal":
        found = _ordinal(items)
        return _agreement(found, times=times, seed=seed, resamples=resamples, fixed=fixed)
    points = _points(items, level)
    size = np.array([len(item) for item in items], dtype=np.float64)
    axes = points[0].shape[1] if points else 0
    sums = np.array([p.sum(axis=0) for p in points]).reshape(len(items), axes)
    squares = np.array([(p**2).sum() for p in points])
    # sum_ij |x_i - x_j|^2 = 2 (m sum |x_i|^2 - |sum x_i|^2)
    within = 2 * (size * squares - (sums**2).sum(axis=1)) / (size - 1)

    def alpha(weights: Floats) -> Floats:
        n = weights @ size
        scale = n * (weights @ squares)
        expected = 2 * (scale - ((weights @ sums) ** 2).sum(axis=1))
        expected[expected <= 1e-12 * scale] = 0.0
        return 1 - ratios((n - 1) * (weights @ within), expected)

    return _agreement(alpha, times=times, seed=seed, resamples=resamples, fixed=fixed)


def _ordinal(items: list[list[Given]]) -> Callable[[Floats], Floats]:
    """Alpha for ordered categories: d(c, k) = sum_{c<=g<=k} n_g - (n_c + n_k) / 2 (2011), with n_g
    the ratings of category g in all items. That is the difference of the categories' mid-ranks."""
    numbers = [[_number(r) for r in item] for item in items]
    order = sorted({x for item in numbers for x in item})
    place = {x: g for g, x in enumerate(order)}
    held = np.array([_one_hot([place[x] for x in i], len(order)).sum(axis=0) for i in numbers])
    held = held.reshape(len(items), len(order))
    pairs = held[:, :, None] * held[:, None, :] / (held.sum(axis=1) - 1)[:, None, None]

    def alpha(weights: Floats) -> Floats:
        n = weights @ held
        ranks = np.cumsum(n, axis=1) - n / 2
        squared = (ranks[:, :, None] - ranks[:, None, :]) ** 2
        within = (weights @ pairs.reshape(len(items), -1)).reshape(squared.shape)
        expected = (squared * n[:, :, None] * n[:, None, :]).sum(axis=(1, 2))
        observed = (squared * within).sum(axis=(1, 2))
        return 1 - ratios((n.sum(axis=1) - 1) * observed, expected)

    return alpha


def _agreement(
    coefficient: Callable[[Floats], Floats],
    *,
    times: Floats,
    seed: int,
    resamples: int,
    fixed: str | None = None,
) -> Agreement:
    """A coefficient of item weights (b, patterns), NaN where undefined, with its interval; without
    one where `fixed` says why no resample differs.

    times: items of each pattern of ratings (patterns,). Resampling items draws their patterns from
    a multinomial distribution.
    """
    items = int(times.sum())
    if items == 0:
        return Agreement(value=None, low=None, high=None, n=0, reason=NOTHING_SHARED)
    value = float(coefficient(times[None, :])[0])
    if math.isnan(value):
        return Agreement(value=None, low=None, high=None, n=items, reason=ONE_CATEGORY)
    if fixed:
        value = round(value, DECIMALS)
        return Agreement(value=value, low=None, high=None, n=items, reason=fixed)
    rng = np.random.default_rng(seed)
    shares = times / items
    sizes = blocks(len(times), resamples)
    drawn = np.concatenate(
        [coefficient(rng.multinomial(items, shares, size=size).astype(float)) for size in sizes]
    )
    low, high = (interval(drawn) if items > 1 else None) or (None, None)
    return Agreement(value=round(value, DECIMALS), low=low, high=high, n=items, reason=None)


def _alike(items: list[list[Given]]) -> tuple[list[list[Given]], Floats]:
    """The different items, and how many there are of each."""
    times = Counter(tuple(item) for item in items)
    return [list(item) for item in times], np.array(list(times.values()), dtype=np.float64)


def _shared(ratings: Sequence[Sequence[Rating]]) -> list[list[Given]]:
    """The given ratings of each item that has two or more."""
    given = ([r for r in item if r is not None and r == r] for item in ratings)
    return [item for item in given if len(item) > 1]


def _equal_pairs(item: list[Given]) -> int:
    return sum(math.comb(times, 2) for times in Counter(item).values())


def _codes(items: list[list[Given]]) -> dict[Given, int]:
    return {rating: i for i, rating in enumerate(dict.fromkeys(r for item in items for r in item))}


def _one_hot(codes: list[int], categories: int) -> Floats:
    return np.eye(categories)[np.array(codes, dtype=np.int64)]


def _points(items: list[list[Given]], level: Literal["nominal", "interval"]) -> list[Floats]:
    """Each item's ratings as points (m, D): unit vectors, or numbers less the first."""
    if level == "nominal":
        codes = _codes(items)
        return [_one_hot([codes[r] for r in item], len(codes)) for item in items]
    numbers = [[_number(r) for r in item] for item in items]
    every = [x for item in numbers for x in item]
    # Squares of large and close numbers would swamp their differences; equal ones become 0.
    origin = every[0] if every else 0.0
    return [np.array(item).reshape(-1, 1) - origin for item in numbers]


def _number(rating: Given) -> float:
    if isinstance(rating, int | float):
        return float(rating)
    raise ValueError(f"Krippendorff's alpha for intervals needs numbers, not {rating!r}.")
