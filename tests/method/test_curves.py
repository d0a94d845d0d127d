from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.ceiling import best_of, best_of_curve, curve_sizes, pass_at, pass_curve

values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_curves_double_m_and_end_at_n() -> None:
    assert curve_sizes(16) == (1, 2, 4, 8, 16)
    assert curve_sizes(13) == (1, 2, 4, 8, 13)
    assert curve_sizes(1) == (1,)
    assert curve_sizes(0) == ()


def test_pass_at_m_of_a_hand_computed_case() -> None:
    # Two of five pass: C(3, 2) / C(5, 2) = 3 / 10 of the pairs hold neither.
    assert pass_at(5, 2, 1) == 2 / 5
    assert pass_at(5, 2, 2) == 7 / 10
    assert pass_at(5, 2, 4) == 1


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_pass_at_m_is_a_share_of_the_subsets(passed: list[bool], data: st.DataObject) -> None:
    m = data.draw(st.integers(1, len(passed)))
    subsets = [any(chosen) for chosen in combinations(passed, m)]
    assert pass_at(len(passed), sum(passed), m) == pytest.approx(sum(subsets) / len(subsets))


@given(st.integers(1, 200), st.data())
def test_pass_at_m_rises_from_the_rate_to_whether_any(n: int, data: st.DataObject) -> None:
    c = data.draw(st.integers(0, n))
    curve = pass_curve(n, c).value
    assert curve[0] == pytest.approx(c / n)
    assert curve[-1] == float(c > 0)
    assert all(a <= b for a, b in pairwise(curve))


def test_pass_at_m_is_exact_where_binomials_exceed_floats() -> None:
    assert pass_at(4096, 1, 2048) == 0.5


def test_best_of_m_of_a_hand_computed_case() -> None:
    # Pairs of 0, 0.5, 1 have the maxima 0.5, 1, 1.
    assert best_of([0.5, 0, 1], 1) == pytest.approx(0.5)
    assert best_of([0.5, 0, 1], 2) == pytest.approx(2.5 / 3)
    assert best_of([0.5, 0, 1], 3) == 1


@given(values, st.data())
def test_best_of_m_is_the_mean_maximum_of_subsets(
    rewards: list[float], data: st.DataObject
) -> None:
    m = data.draw(st.integers(1, len(rewards)))
    maxima = [max(chosen) for chosen in combinations(rewards, m)]
    assert best_of(rewards, m) == pytest.approx(np.mean(maxima), abs=1e-12)


@given(values)
def test_best_of_m_runs_from_the_mean_to_the_maximum(rewards: list[float]) -> None:
    curve = best_of_curve(rewards)
    assert curve.m == curve_sizes(len(rewards))
    assert curve.value[0] == pytest.approx(np.mean(rewards))
    assert curve.value[-1] == pytest.approx(max(rewards))
    assert all(a <= b + 1e-12 for a, b in pairwise(curve.value))


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_best_of_m_of_passes_is_pass_at_m(passed: list[bool]) -> None:
    expected = pass_curve(len(passed), sum(passed)).value
    assert best_of_curve(passed).value == pytest.approx(expected)


@pytest.mark.parametrize("m", [0, 4])
def test_m_outside_the_rollouts_is_refused(m: int) -> None:
    with pytest.raises(ValueError, match="between 1 and the 3 rollouts"):
        best_of([0, 0, 1], m)
    with pytest.raises(ValueError, match="between 1 and the 3 rollouts"):
        pass_at(3, 1, m)


def test_more_passes_than_rollouts_are_refused() -> None:
    with pytest.raises(ValueError, match="4 of 3 rollouts cannot pass"):
        pass_at(3, 4, 1)
