import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.records import Dimension
from alignment.method.resampling import clustered_means, interval, resample_counts
from alignment.method.statistics import (
    paired_difference,
    policy_summary,
    rate_of,
    wilson,
)

NONE = math.nan


def test_the_mean_is_over_valid_values_and_says_how_many() -> None:
    first, second = clustered_means([[1, 0], [0, NONE], [1, NONE]], [7, 7, 9], seed=1)
    assert (first.value, first.n, first.parents) == (round(2 / 3, 12), 3, 2)
    assert (second.value, second.n, second.parents) == (0, 1, 1)


def test_a_column_without_values_is_undefined() -> None:
    (found,) = clustered_means([[NONE], [NONE]], [1, 2], seed=1)
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)
    (nothing,) = clustered_means(np.empty((0, 1)), [], seed=1)
    assert nothing.value is None


def test_one_parent_has_a_mean_but_no_interval() -> None:
    (found,) = clustered_means([[0], [1], [1]], ["p"] * 3, seed=1)
    assert (found.value, found.low, found.high) == (round(2 / 3, 12), None, None)


def test_the_interval_of_two_parents_is_that_of_all_resamples() -> None:
    # Means 0, 1/2 and 1 come with 1/4, 1/2 and 1/4, so 2.5 % and 97.5 % are 0 and 1.
    (found,) = clustered_means([[0], [1]], [1, 2], seed=1)
    assert (found.value, found.low, found.high) == (0.5, 0, 1)


def test_copies_of_a_rollout_within_its_parent_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).integers(0, 2, 40).astype(float)
    parent = np.arange(40)
    (once,) = clustered_means(values[:, None], parent, seed=3)
    (often,) = clustered_means(np.repeat(values, 9)[:, None], np.repeat(parent, 9), seed=3)
    assert (often.low, often.high) == (once.low, once.high)
    assert (once.n, often.n, often.parents) == (40, 360, 40)


def test_the_clustered_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    parent, inside = np.repeat(np.arange(60), 8), 0
    for trial in range(200):
        chance = np.repeat(rng.beta(2, 2, 60), 8)  # mean 0.5
        (found,) = clustered_means(
            (rng.random(480) < chance)[:, None], parent, seed=trial, resamples=400
        )
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.5 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    values = np.random.default_rng(0).random((50, 2))
    one, again, other = (clustered_means(values, np.arange(50), seed=s) for s in (1, 1, 2))
    assert one == again
    assert one != other


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=30))
def test_the_interval_lies_within_the_values_and_constants_have_no_width(
    rows: list[tuple[int, int]],
) -> None:
    values = np.array([[v / 4, 0.7] for _, v in rows])
    found, constant = clustered_means(values, [p for p, _ in rows], seed=1, resamples=50)
    assert constant.value == 0.7
    if found.parents > 1:
        assert (constant.low, constant.high) == (0.7, 0.7)
        assert values[:, 0].min() <= found.low <= found.high <= values[:, 0].max()


def test_resamples_draw_as_many_units_as_there_are_in_blocks_that_add_up() -> None:
    blocks = list(resample_counts(3000, 1500, seed=1))
    assert len(blocks) > 1
    assert sum(len(b) for b in blocks) == 1500
    assert all((b.sum(axis=1) == 3000).all() for b in blocks)


def test_an_interval_needs_most_of_its_resamples_to_be_defined() -> None:
    assert interval(np.array([0.0, 1.0, NONE])) == (0.025, 0.975)
    assert interval(np.array([0.0, NONE])) is None


def test_values_that_do_not_fit_their_parents_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit 1 parents"):
        clustered_means([[1], [2]], [1], seed=1)


def test_a_policy_is_summed_up_over_the_scores_that_are_valid() -> None:
    dims = (
        Dimension(name="helpful", scale_low=1, scale_high=5, bar=4),
        Dimension(name="risk", scale_low=0, scale_high=1, bar=0.5, higher_is_better=False),
    )
    raw = np.array([[5, 0], [3, 1], [NONE, 0.5], [4, NONE]])
    found = policy_summary(dims, raw, [1, 1, 2, 2], seed=1)
    assert [e.value for e in found.rewards] == [0.75, 0.5]
    # Of both dimensions half of the first parent's pass, and the one that the second has.
    assert [e.value for e in found.pass_rates] == [0.75, 0.75]
    assert [e.n for e in found.pass_rates] == [2, 2]
    assert (found.joint_pass_rate.value, found.joint_pass_rate.n) == (0.5, 1)
    assert found.joint_pass_rate.parents == 1


def test_a_parent_counts_once_however_many_of_its_scores_are_valid() -> None:
    dims = (Dimension(name="helpful", scale_low=0, scale_high=1, bar=1),)
    raw = np.array([[0.0], [0.0], [0.5], [1.0], [NONE], [NONE]])
    found = policy_summary(dims, raw, [1, 1, 1, 2, 2, 2], seed=1)
    assert found.rewards[0].value == round((1 / 6 + 1) / 2, 12)
    assert found.pass_rates[0].value == 0.5  # none of the first, all of the second


def test_wilson_gives_the_published_interval() -> None:
    found = wilson(8, 10)
    assert (found.value, found.n) == (0.8, 10)
    assert (found.low, found.high) == (pytest.approx(0.490162), pytest.approx(0.943318))


def test_wilson_solves_its_own_equation() -> None:
    # The bounds are the p with (p_hat - p)^2 = z^2 p (1 - p) / n.
    for successes, n in [(1, 7), (30, 64), (199, 200)]:
        found = wilson(successes, n)
        for p in (found.low, found.high):
            assert p is not None
            assert (successes / n - p) ** 2 == pytest.approx(1.959964**2 * p * (1 - p) / n)


def test_wilson_at_the_ends_and_without_prompts() -> None:
    assert (wilson(0, 20).low, wilson(20, 20).high) == (0, 1)
    high = wilson(0, 20).high
    assert high is not None
    assert high == pytest.approx(1.959964**2 / (20 + 1.959964**2))
    assert wilson(0, 0).value is wilson(0, 0).low is None
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_a_rate_has_wilsons_interval_where_each_prompt_has_one_outcome() -> None:
    (found,) = clustered_means([[1], [0], [1], [1]], [1, 2, 3, 4], seed=1)
    assert rate_of(found, 4) == wilson(3, 4)
    assert rate_of(found, 8) == found, "means of two rollouts a prompt"
    two_seeds = paired_difference([[1.0, 0], [1, 1]], np.zeros((2, 2)), [1, 2], seed=1)
    assert rate_of(two_seeds, 4) == two_seeds
    (nothing,) = clustered_means([[NONE]], [1], seed=1)
    assert rate_of(nothing, 0) == nothing


def test_a_paired_difference_is_the_mean_over_seeds_and_prompts() -> None:
    first = [[1.0, 0.5, NONE], [1.0, 0.0, 0.5]]
    second = [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    found = paired_difference(first, second, [1, 2, 2], seed=1)
    assert (found.value, found.n, found.parents) == (0.2, 5, 2)


def test_a_difference_of_the_seeds_alone_shows_in_the_interval() -> None:
    # Each seed has the same difference on every prompt, so only resampling seeds moves the mean.
    first = np.repeat([[0.0], [1.0]], 10, axis=1)
    found = paired_difference(first, np.zeros((2, 10)), np.arange(10), seed=1)
    assert (found.value, found.low, found.high) == (0.5, 0, 1)


def test_arms_of_different_shape_have_no_difference() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        paired_difference([[1.0]], [[1.0, 2.0]], [1], seed=1)
