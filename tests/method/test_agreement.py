import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.agreement import (
    NOTHING_SHARED,
    ONE_ANSWER,
    ONE_CATEGORY,
    SAME_RATINGS,
    Rating,
    cohen_kappa,
    krippendorff_alpha,
    percent_agreement,
)

# The worked example of Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), D:
# four observers, twelve units.
OBSERVERS: list[list[Rating]] = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = list(zip(*OBSERVERS, strict=True))

rating = st.one_of(st.none(), st.integers(1, 4))
tables = st.lists(st.tuples(rating, rating, rating), min_size=1, max_size=12)


def plain_alpha(items: list[tuple[int | None, ...]], level: str) -> float | None:
    """Alpha from all pairs of values, as its definition reads."""
    given_ = [[r for r in item if r is not None] for item in items]
    units = [u for u in given_ if len(u) > 1]
    pool = [r for u in units for r in u]

    def apart(a: int, b: int) -> float:
        if level == "ordinal":
            between = sum(min(a, b) <= r <= max(a, b) for r in pool)
            ends = (pool.count(a) + pool.count(b)) / 2
            return float(between - ends) ** 2 if a != b else 0.0
        return float(a != b) if level == "nominal" else float((a - b) ** 2)

    expected = sum(apart(a, b) for a, b in permutations(pool, 2))
    if not expected:
        return None
    n = len(pool)
    observed = sum(sum(apart(a, b) for a, b in permutations(u, 2)) / (len(u) - 1) for u in units)
    return 1 - (observed / n) / (expected / (n * (n - 1)))


def test_alpha_of_krippendorffs_own_example() -> None:
    nominal = krippendorff_alpha(UNITS, level="nominal", seed=1)
    assert nominal.value == pytest.approx(0.743, abs=5e-4)
    assert nominal.n == 11
    interval = krippendorff_alpha(UNITS, level="interval", seed=1)
    assert interval.value == pytest.approx(0.849, abs=5e-4)
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low < 0.849 < interval.high
    ordinal = krippendorff_alpha(UNITS, level="ordinal", seed=1)
    assert ordinal.value == pytest.approx(0.815, abs=5e-4)


@given(tables, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_is_its_definition_over_all_pairs(
    items: list[tuple[int | None, ...]], level: str
) -> None:
    found = krippendorff_alpha(items, level=level, seed=1, resamples=20)
    expected = plain_alpha(items, level)
    if expected is None:
        assert found.value is None
        assert found.reason in (NOTHING_SHARED, ONE_CATEGORY)
    else:
        assert found.value == pytest.approx(expected, abs=1e-9)
        assert found.reason in (None, SAME_RATINGS)


@given(tables, st.floats(-1e5, 1e5), st.floats(0.01, 100))
def test_interval_alpha_does_not_depend_on_origin_or_unit(
    items: list[tuple[int | None, ...]], origin: float, unit: float
) -> None:
    moved = [[None if r is None else origin + unit * r for r in item] for item in items]
    one, other = (
        krippendorff_alpha(t, level="interval", seed=1, resamples=20).value for t in (items, moved)
    )
    assert one == pytest.approx(other, abs=1e-4)


def test_cohens_kappa_of_a_textbook_table() -> None:
    # 20 both yes, 5 yes-no, 10 no-yes, 15 both no: p_o = 0.7, p_e = 0.5.
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second, seed=1)
    assert (found.value, found.n, found.reason) == (0.4, 50, None)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high
    assert percent_agreement(list(zip(first, second, strict=True)), seed=1).value == 0.7


def test_items_that_one_rater_left_out_do_not_count() -> None:
    first: list[Rating] = ["a", "b", "a", None, math.nan]
    second: list[Rating] = ["a", "b", None, "b", "a"]
    found = cohen_kappa(first, second, seed=1)
    assert (found.value, found.n) == (1, 2)


def test_chance_agreement_is_0_and_systematic_disagreement_below() -> None:
    assert cohen_kappa(["a", "a", "b", "b"], ["a", "b", "a", "b"], seed=1).value == 0
    assert cohen_kappa(["a", "b"], ["b", "a"], seed=1).value == -1


def test_kappa_of_a_rater_who_always_says_the_same_is_0_without_an_interval() -> None:
    # p_o = 2/4 and p_e = 1 x 2/4, whatever the resample.
    always, other = ["a"] * 4, ["a", "a", "b", "b"]
    for first, second in ((always, other), (other, always), (["a", "a"], ["b", "b"])):
        found = cohen_kappa(first, second, seed=1)
        assert (found.value, found.low, found.high, found.reason) == (0, None, None, ONE_ANSWER)
    # Alpha pools the ratings: D_o = 4/8 and D_e = 2 x 6 x 2 / (8 x 7), and differs by resample.
    alpha = krippendorff_alpha(list(zip(always, other, strict=True)), level="nominal", seed=1)
    assert alpha.value == pytest.approx(1 - (1 / 2) / (3 / 7), abs=1e-4)
    assert (alpha.low is not None, alpha.reason) == (True, None)


def test_alpha_of_items_rated_alike_has_no_interval() -> None:
    # D_o = 1 and D_e = 2 x 4 x 4 / (8 x 7), whatever the resample.
    for level, values in (("nominal", "ab"), ("ordinal", (1, 2)), ("interval", (1, 2))):
        items = [tuple(values), tuple(reversed(values))] * 2
        found = krippendorff_alpha(items, level=level, seed=1)
        assert found.value == pytest.approx(1 - 7 / 4, abs=1e-4)
        assert (found.low, found.high, found.reason) == (None, None, SAME_RATINGS)
    assert krippendorff_alpha([(1, 2)], level="ordinal", seed=1).reason is None


def test_raters_who_all_use_one_category_leave_kappa_and_alpha_undefined() -> None:
    same = [("ok", "ok")] * 20
    for found in (
        cohen_kappa(["ok"] * 20, ["ok"] * 20, seed=1),
        krippendorff_alpha(same, level="nominal", seed=1),
        krippendorff_alpha([(0.7, 0.7)] * 20, level="interval", seed=1),
    ):
        assert (found.value, found.low, found.high, found.n) == (None, None, None, 20)
        assert found.reason == ONE_CATEGORY


def test_nothing_rated_twice_leaves_all_of_them_undefined() -> None:
    items: list[tuple[Rating, ...]] = [("a", None), (None, "b"), (None, None)]
    for found in (
        percent_agreement(items, seed=1),
        cohen_kappa(["a", None], [None, "b"], seed=1),
        krippendorff_alpha(items, level="nominal", seed=1),
        krippendorff_alpha([], level="interval", seed=1),
    ):
        assert (found.value, found.n, found.reason) == (None, 0, NOTHING_SHARED)


def test_percent_counts_equal_pairs_of_ratings() -> None:
    # Three equal pairs of 3, one of 3, and one of 1.
    found = percent_agreement([("a", "a", "a"), ("a", "a", "b"), ("b", None, "b")], seed=1)
    assert (found.value, found.n) == (round(5 / 7, 12), 3)
    assert percent_agreement([("a", "a")] * 5, seed=1).value == 1


def test_one_item_has_no_interval() -> None:
    found = krippendorff_alpha([(1, 2)], level="interval", seed=1)
    assert (found.value, found.low, found.n) == (0, None, 1)


def test_resamples_without_a_second_category_are_left_out_of_the_interval() -> None:
    # One item of thirty differs: in (29 / 30)^30 = 36 % of the resamples it is absent.
    items = [("a", "a")] * 29 + [("b", "b")]
    found = krippendorff_alpha(items, level="nominal", seed=1)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_intervals_repeat_with_their_seed() -> None:
    rng = np.random.default_rng(4)
    items = rng.integers(1, 5, (40, 2)).tolist()
    one, again, other = (krippendorff_alpha(items, level="interval", seed=s) for s in (1, 1, 2))
    assert one == again
    assert (one.low, one.high) != (other.low, other.high)


def test_interval_alpha_refuses_words() -> None:
    with pytest.raises(ValueError, match="needs numbers, not 'good'"):
        krippendorff_alpha([("good", "bad")], level="interval", seed=1)
