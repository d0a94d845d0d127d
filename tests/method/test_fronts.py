from itertools import combinations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.pareto import contributions, front_mask, hypervolume


def clouds(most: int, levels: int = 5) -> st.SearchStrategy[np.ndarray]:
    """Points on a coarse grid, so that equal and dominated ones are common; K from 1 to 4."""
    return st.integers(1, 4).flatmap(
        lambda K: st.lists(
            st.tuples(*[st.integers(-1, levels - 1)] * K), min_size=1, max_size=most
        ).map(lambda rows: np.array(rows) / (levels - 1))
    )


def dominates(p: np.ndarray, q: np.ndarray) -> bool:
    return bool((p >= q).all() and (p > q).any())


def volume_by_inclusion_and_exclusion(points: np.ndarray, reference: float = 0.0) -> float:
    edges = np.maximum(points - reference, 0)
    return sum(
        (-1) ** (size + 1) * np.prod(np.min(chosen, axis=0))
        for size in range(1, len(edges) + 1)
        for chosen in combinations(edges, size)
    )


@given(clouds(12))
def test_the_front_is_what_no_point_dominates(points: np.ndarray) -> None:
    expected = [not any(dominates(q, p) for q in points) for p in points]
    assert front_mask(points).tolist() == expected


@given(clouds(12))
def test_front_members_do_not_dominate_one_another(points: np.ndarray) -> None:
    front = points[front_mask(points)]
    assert len(front) >= 1
    assert not any(dominates(p, q) for p in front for q in front)


@given(clouds(7))
def test_the_hypervolume_is_that_of_the_union_of_boxes(points: np.ndarray) -> None:
    expected = volume_by_inclusion_and_exclusion(points)
    assert hypervolume(points) == pytest.approx(expected, abs=1e-12)


@given(clouds(7), st.floats(-0.5, 0.9))
def test_the_reference_point_moves_the_corner(points: np.ndarray, reference: float) -> None:
    expected = volume_by_inclusion_and_exclusion(points, reference)
    assert hypervolume(points, reference=reference) == pytest.approx(expected, abs=1e-12)


@given(st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_the_hypervolume_agrees_with_moocore_on_many_points(K: int, seed: int) -> None:
    points = np.random.default_rng(seed).random((60, K))
    expected = moocore.hypervolume(points, ref=0, maximise=True)
    assert hypervolume(points) == pytest.approx(expected)


@given(clouds(10), st.data())
def test_a_dominated_point_leaves_the_hypervolume_unchanged(
    points: np.ndarray, data: st.DataObject
) -> None:
    above = points[data.draw(st.integers(0, len(points) - 1))]
    below = above - data.draw(st.sampled_from([0.0, 0.1, 0.5]))
    assert hypervolume([*points, below]) == pytest.approx(hypervolume(points), abs=1e-12)


@given(clouds(8), clouds(1))
def test_another_point_never_lowers_the_hypervolume(points: np.ndarray, more: np.ndarray) -> None:
    another = np.resize(more, (1, points.shape[1]))
    assert hypervolume(np.vstack([points, another])) >= hypervolume(points) - 1e-12


@given(clouds(8))
def test_a_contribution_is_what_is_lost_without_the_point(points: np.ndarray) -> None:
    whole = volume_by_inclusion_and_exclusion(points)
    without = [
        volume_by_inclusion_and_exclusion(np.delete(points, i, axis=0)) for i in range(len(points))
    ]
    assert contributions(points) == pytest.approx(whole - np.array(without), abs=1e-12)


def test_contributions_of_a_staircase_by_hand() -> None:
    # The middle point is dominated by none; without (0.5, 0.5) the corner 0.25 x 0.25 is lost.
    points = [[0.25, 1.0], [0.5, 0.5], [1.0, 0.25], [0.25, 0.25]]
    assert hypervolume(points) == 0.25 + 0.125 + 0.125
    assert contributions(points).tolist() == [0.125, 0.0625, 0.125, 0.0]


def test_equal_points_are_all_on_the_front_and_contribute_nothing() -> None:
    points = [[1.0, 0.5], [1.0, 0.5], [0.5, 0.25]]
    assert front_mask(points).tolist() == [True, True, False]
    assert contributions(points).tolist() == [0, 0, 0]


def test_a_reference_point_may_differ_by_axis() -> None:
    assert hypervolume([[0.5, 1.0]], reference=[0.25, 0.5]) == 0.125
    with pytest.raises(ValueError, match="does not fit 2 axes"):
        hypervolume([[0.5, 1.0]], reference=[0.1, 0.1, 0.1])


def test_no_points_have_no_front_and_no_volume() -> None:
    empty = np.empty((0, 3))
    assert front_mask(empty).tolist() == []
    assert hypervolume(empty) == hypervolume([]) == 0
    assert contributions(empty).tolist() == []


def test_an_undefined_coordinate_is_refused() -> None:
    with pytest.raises(ValueError, match="undefined coordinate"):
        front_mask([[0.5, float("nan")]])
