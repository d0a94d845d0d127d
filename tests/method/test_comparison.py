"""Arms compared over seeds and prompts: hypervolumes and differences at equal length."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.comparison import (
    hypervolume_difference,
    hypervolume_estimate,
    length_adjusted_difference,
)
from alignment.method.pareto import hypervolume
from alignment.method.statistics import paired_difference

PARENTS = [0, 0, 1, 1]
ALL = np.array([[[0.5, 1.0], [0.5, 0.5], [1.0, 0.5], [0.0, 0.0]]])  # one seed, four prompts


def test_the_hypervolume_is_that_of_the_mean_reward_vector() -> None:
    found = hypervolume_estimate(ALL, PARENTS, seed=1)
    assert found.value == pytest.approx(0.5 * 0.5) == hypervolume([[0.5, 0.5]])
    assert (found.n, found.parents) == (4, 2)
    # Two parents with means (0.5, 0.75) and (0.5, 0.25): resamples are one, the other or both.
    assert (found.low, found.high) == (0.125, 0.375)


def test_a_dimension_without_values_leaves_it_undefined() -> None:
    cells = ALL.copy()
    cells[:, :, 1] = math.nan
    assert hypervolume_estimate(cells, PARENTS, seed=1).value is None


def test_dimensions_with_prompts_of_their_own_have_an_interval() -> None:
    cells = np.full((2, 6, 2), math.nan)
    cells[:, :3, 0] = [[0.5, 0.25, 0.75], [1.0, 0.5, 0.0]]
    cells[:, 3:, 1] = [[0.5, 1.0, 0.0], [0.5, 0.75, 0.25]]
    found = hypervolume_estimate(cells, range(6), seed=1)
    assert found.value == pytest.approx(0.5 * 0.5) and (found.n, found.parents) == (6, 3)
    assert found.low is not None and found.high is not None and found.low < 0.25 < found.high
    same = hypervolume_difference(cells, cells, range(6), seed=1)
    assert (same.value, same.low, same.high, same.n) == (0.0, 0.0, 0.0, 6)


def test_a_reference_point_is_taken_off_every_mean() -> None:
    assert hypervolume_estimate(ALL, PARENTS, seed=1, reference=0.25).value == 0.0625


def test_a_difference_of_hypervolumes_is_paired() -> None:
    better = np.clip(ALL + 0.25, 0, None)
    found = hypervolume_difference(better, ALL, PARENTS, seed=1)
    assert found.value == pytest.approx(0.75 * 0.75 - 0.25)
    same = hypervolume_difference(ALL, ALL, PARENTS, seed=1)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_what_length_explains_is_taken_off() -> None:
    # The difference is 0.1 and a hundredth for each token more.
    lengths = np.array([[10.0, 20.0, 30.0, 40.0]])
    zero = np.zeros((1, 4))
    first = 0.1 + 0.01 * lengths
    found = length_adjusted_difference(first, zero, lengths, zero, range(4), seed=1)
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1) and found.high == pytest.approx(0.1)
    assert paired_difference(first, zero, range(4), seed=1).value == pytest.approx(0.35)


def test_equal_lengths_leave_the_plain_difference() -> None:
    first, second = np.array([[0.5, 0.25, math.nan]]), np.array([[0.25, 0.25, 1.0]])
    length = np.full((1, 3), 7.0)
    found = length_adjusted_difference(first, second, length, length, range(3), seed=1)
    assert (found.value, found.n) == (0.125, 2)


def test_lengths_that_differ_by_a_constant_leave_it_undefined() -> None:
    first, second = np.array([[0.5, 0.25, 0.3]]), np.zeros((1, 3))
    found = length_adjusted_difference(first, second, second + 9.1, second, range(3), seed=1)
    assert found.value is None


@given(st.integers(0, 10_000))
def test_it_is_the_intercept_that_least_squares_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d, x = rng.normal(size=(2, 6)), rng.integers(-9, 9, size=(2, 6)).astype(float)
    d[0, 0] = math.nan
    zero = np.zeros_like(d)
    found = length_adjusted_difference(d, zero, x, zero, range(6), seed=1, resamples=20)
    known = np.isfinite(d)
    design = np.column_stack([np.ones(known.sum()), x[known]])
    if np.ptp(x[known]) == 0:
        return
    expected = np.linalg.lstsq(design, d[known], rcond=None)[0][0]
    assert found.value == pytest.approx(float(expected), abs=1e-9)
