from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.ceiling import (
    Curve,
    attainable_volume,
    ceiling,
    coverage_ratio,
    reward_variance,
    spread,
)
from alignment.method.pareto import hypervolume
from alignment.method.records import Dimension, PromptScores

A = Dimension(name="a", scale_low=0, scale_high=10, bar=6)
B = Dimension(name="b", scale_low=0, scale_high=1, bar=0.5)
NONE = np.nan
STAIRS = np.array([[0.2, 0.8], [0.4, 0.4], [0.8, 0.2]])

rewards_2d = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=7).map(
    lambda rows: np.array(rows) / 4
)


def test_the_ceiling_of_a_prompt_worked_by_hand() -> None:
    raw = np.array([[10, 0], [0, 1], [5, 0.5], [12, NONE]])
    found = ceiling(PromptScores(dims=(A, B), raw=raw))
    assert found.counts.c_J == 0
    assert found.pass_at[0] == Curve(m=(1, 2, 4), value=(0.5, 5 / 6, 1.0))
    assert found.joint_pass_at == Curve(m=(1, 2, 3), value=(0.0, 0.0, 0.0))
    assert found.best_of[0].value == pytest.approx((2.5 / 4, 5.5 / 6, 1.0))
    # min_k r_k is 0, 0, 0.5: two of the three pairs hold the 0.5.
    assert found.joint_attainment.value == pytest.approx((0.5 / 3, 1 / 3, 0.5))
    assert found.mean_raw == (5, 0.5)
    assert found.spread == pytest.approx((np.sqrt(1 / 6), np.sqrt(1 / 6)))
    assert found.reward_variance == pytest.approx(1 / 3)
    assert found.clipped == (1 / 4, 0.0)


def test_the_ceiling_of_no_valid_rollout_is_undefined_throughout() -> None:
    found = ceiling(PromptScores(dims=(A, B), raw=np.full((4, 2), NONE)))
    empty = Curve(m=(), value=())
    assert found.pass_at == found.best_of == (empty, empty)
    assert found.joint_pass_at == found.joint_attainment == empty
    assert found.spread == found.mean_raw == found.clipped == (None, None)
    assert found.reward_variance is None


def test_one_rollout_has_no_spread() -> None:
    assert spread(np.array([[0.3, 0.4]])) == (None, None)
    assert reward_variance(np.array([[0.3, 0.4]])) is None


@given(st.floats(0, 1), st.integers(2, 50))
def test_a_constant_dimension_has_a_spread_of_exactly_0(value: float, n: int) -> None:
    assert spread(np.full((n, 1), value)) == (0.0,)


@given(rewards_2d.filter(lambda r: len(r) > 1))
def test_the_reward_variance_is_the_trace_of_the_covariance(rewards: np.ndarray) -> None:
    trace = np.trace(np.cov(rewards.T, bias=True))
    assert reward_variance(rewards) == pytest.approx(trace, abs=1e-12)


@given(rewards_2d, st.data())
def test_volume_at_m_is_the_mean_over_subsets(rewards: np.ndarray, data: st.DataObject) -> None:
    m = data.draw(st.integers(1, len(rewards)))
    every = [hypervolume(list(chosen)) for chosen in combinations(rewards, m)]
    found = attainable_volume(rewards, m=m, seed=1)
    assert found == pytest.approx(np.mean(every), abs=1e-12)


def test_the_volume_of_a_staircase_by_hand() -> None:
    assert attainable_volume(STAIRS, m=3, seed=1) == pytest.approx(0.16 + 0.08 + 0.08)


def test_sampled_subsets_repeat_with_the_seed_and_come_near_the_mean() -> None:
    rewards = np.random.default_rng(5).random((24, 3))
    found = attainable_volume(rewards, m=8, seed=3)
    assert found == attainable_volume(rewards, m=8, seed=3)
    assert found != attainable_volume(rewards, m=8, seed=4)
    assert found == pytest.approx(attainable_volume(rewards, m=8, seed=9, subsets=2000), rel=0.05)


def test_a_volume_of_fewer_rollouts_than_m_is_undefined() -> None:
    assert attainable_volume(STAIRS, m=4, seed=1) is None
    with pytest.raises(ValueError, match="at least 1"):
        attainable_volume(STAIRS, m=0, seed=1)


def test_one_dimension_has_its_maximum_as_volume() -> None:
    assert attainable_volume(np.array([[0.2], [0.9], [0.4]]), m=3, seed=1) == 0.9
    assert attainable_volume(np.array([[0.2], [0.6]]), m=1, seed=1) == pytest.approx(0.4)


def test_a_zero_dimension_makes_the_volume_0() -> None:
    assert attainable_volume(np.array([[0.9, 0.0], [0.7, 0.0]]), m=2, seed=1) == 0


def test_coverage_is_a_share_of_the_pooled_volume_and_undefined_without_one() -> None:
    assert coverage_ratio(0.2, 0.8) == pytest.approx(0.25)
    assert coverage_ratio(0.0, 0.8) == 0
    assert coverage_ratio(0.2, 0.0) is None
    assert coverage_ratio(None, 0.8) is None
    assert coverage_ratio(0.2, None) is None
