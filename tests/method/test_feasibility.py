"""MAP's question on stored rewards: which targets a reweighting of the rollouts can reach."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.feasibility import feasibility

# One prompt whose rollouts are helpful or harmless or half of both.
CORNERS = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])


def test_a_target_on_the_line_between_two_rollouts_is_just_feasible() -> None:
    found = feasibility(CORNERS, [0, 0, 0], [0.7, 0.3])
    assert found.feasible and found.slack == pytest.approx(0.0, abs=1e-9)
    beyond = feasibility(CORNERS, [0, 0, 0], [0.7, 0.5])
    assert not beyond.feasible and beyond.weights is None
    assert beyond.slack == pytest.approx(-0.1)


def test_each_prompt_keeps_its_weight() -> None:
    # The good rollouts are all of one prompt; the other cannot lend its share.
    rewards = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    assert feasibility(rewards, [0, 0, 1], [0.5, 0.5]).slack == pytest.approx(0.0, abs=1e-9)
    assert not feasibility(rewards, [0, 0, 1], [0.6, 0.6]).feasible


def test_the_weights_are_those_at_which_the_tilted_mean_meets_the_target() -> None:
    # One dimension, rewards 0 and 1: the tilted mean is e^l / (1 + e^l), so l = logit(target).
    rewards = np.array([[0.0, 0.5], [1.0, 0.5]])
    found = feasibility(rewards, [0, 0], [0.8, 0.1])
    assert found.weights == pytest.approx((math.log(4), 0.0), abs=1e-4)
    assert not found.on_edge


@pytest.mark.parametrize(("low", "high", "target"), [(0.5, 0.51, 0.5099), (0.5, 0.502, 0.5015)])
def test_rewards_that_hardly_differ_have_as_large_weights_as_they_need(
    low: float, high: float, target: float
) -> None:
    found = feasibility(np.array([[low], [high]]), [0, 0], [target])
    share = (target - low) / (high - low)
    assert found.weights == pytest.approx((math.log(share / (1 - share)) / (high - low),), rel=1e-3)
    assert not found.on_edge


def test_a_weight_that_the_search_did_not_reach_is_told() -> None:
    rewards = np.array([[0.0], [1e-3], [1.0]])
    nearly = feasibility(rewards, [0, 0, 0], [1 - 2e-6])
    assert nearly.feasible and not nearly.on_edge
    tiny = np.array([[0.0], [1.0], [1 - 1e-3]])
    found = feasibility(tiny, [0, 0, 0], [1 - 1.01e-6])
    assert found.weights == pytest.approx((200.0,)) and found.on_edge


def test_a_target_that_is_met_already_needs_no_weight() -> None:
    assert feasibility(CORNERS, [0, 0, 0], [0.2, 0.3]).weights == pytest.approx((0.0, 0.0))


def test_a_target_on_the_edge_is_feasible_and_nothing_beyond_it() -> None:
    rewards = np.array([[0.0], [1.0]])
    assert feasibility(rewards, [0, 0], [1.0]).on_edge
    assert not feasibility(rewards, [0, 0], [1.001]).feasible


def test_an_undefined_reward_is_left_out_and_nothing_at_all_is_refused() -> None:
    rewards = np.array([[math.nan, 1.0], [0.4, 0.4]])
    assert feasibility(rewards, [0, 0], [0.4, 0.4]).slack == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="0 rollouts"):
        feasibility(rewards[:1], [0], [0.1, 0.1])


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
        min_size=2,
        max_size=5,
    )
)
def test_the_slack_is_that_of_the_best_mixture_on_a_grid(points: list[tuple[float, float]]) -> None:
    rewards, target = np.array(points), np.array([0.5, 0.5])
    steps = 12
    grid = [w for w in product(range(steps + 1), repeat=len(points)) if sum(w) == steps]
    means = [np.array(w) / steps @ rewards for w in grid]
    best = max(float((mean - target).min()) for mean in means)
    assert best - 1e-9 <= feasibility(rewards, [0] * len(points), target).slack <= best + 1 / steps
