"""The ceiling of a set of prompts, against enumeration and the numbers of its prompts."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method import ceiling
from alignment.method.mining import MiningRule, mine_many
from alignment.method.records import Dimension, PromptScores
from alignment.method.set_ceiling import (
    are_grades,
    clipped_shares,
    common_m,
    grade_shares,
    levels_of,
    mean_best_of_curve,
    mean_pass_curve,
    most_have,
    pooled_volume,
    prompt_numbers,
    prompt_spreads,
    rows_by_prompt,
    set_curves,
)

HELPFUL = Dimension(name="helpful", scale_low=1, scale_high=5, bar=4)
HARMLESS = Dimension(name="harmless", scale_low=0, scale_high=1, bar=1)
DIMS = (HELPFUL, HARMLESS)
NONE = math.nan


def test_a_mean_curve_is_over_the_same_prompts_at_every_m() -> None:
    curve = mean_pass_curve(np.array([4, 2]), np.array([1, 1]), 2)
    # m = 1: 1/4 and 1/2; m = 2: of 6 pairs 3 hold the one, and 1.
    assert (curve.m, curve.prompts) == ((1, 2), 2)
    assert curve.value == pytest.approx((0.375, 0.75))
    with pytest.raises(ValueError, match="between 1 and the 2 rollouts"):
        mean_pass_curve(np.array([4, 2]), np.array([1, 1]), 4)
    nothing = mean_pass_curve(np.empty(0, dtype=int), np.empty(0, dtype=int), 0)
    assert (nothing.m, nothing.value, nothing.prompts) == ((), (), 0)


def test_curves_go_to_the_m_that_half_of_the_prompts_have() -> None:
    assert common_m(np.array([16, 16, 4, 0])) == 16
    assert common_m(np.array([16, 4, 4, 0])) == 4
    assert common_m(np.array([10, 10])) == 10, "the last size need not be a power of two"
    assert common_m(np.array([0, 0])) == common_m(np.empty(0, dtype=int)) == 0
    assert most_have(np.array([8, 2, 0]), 8) and not most_have(np.array([8, 2, 2]), 8)
    assert not most_have(np.array([0]), 1)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=6), min_size=1,
                max_size=4))  # fmt: skip
def test_a_mean_best_of_curve_is_the_mean_over_all_subsets(prompts: list[list[float]]) -> None:
    values = np.array([v for p in prompts for v in p])
    index = np.array([i for i, p in enumerate(prompts) for _ in p])
    least = min(map(len, prompts))
    curve = mean_best_of_curve(values, index, least)
    assert curve.m[-1] == least and curve.prompts == len(prompts)
    for m, found in zip(curve.m, curve.value, strict=True):
        bests = [np.mean([max(c) for c in combinations(p, m)]) for p in prompts]
        assert found == pytest.approx(np.mean(bests))


def test_set_curves_agree_with_those_of_the_prompts_that_have_m() -> None:
    rng = np.random.default_rng(3)
    raw = np.column_stack([rng.integers(1, 6, 24), rng.integers(0, 2, 24)]).astype(float)
    raw[5, 0] = NONE
    prompt = np.repeat([0, 1, 2], 8)
    for m, kept in ((4, (0, 1, 2)), (8, (1, 2))):
        found = set_curves(DIMS, raw, prompt, m=m)
        own = [ceiling.ceiling(PromptScores(dims=DIMS, raw=raw[prompt == p])) for p in kept]
        for whole, parts in (
            (found.joint_pass_at, [c.joint_pass_at for c in own]),
            (found.joint_attainment, [c.joint_attainment for c in own]),
            (found.pass_at[1], [c.pass_at[1] for c in own]),
        ):
            assert (whole.m[-1], whole.prompts) == (m, len(kept))
            for i in range(len(whole.m)):
                assert whole.value[i] == pytest.approx(np.mean([c.value[i] for c in parts]))


def test_set_curves_of_nothing_valid_are_empty() -> None:
    found = set_curves(DIMS, np.array([[NONE, 1.0]]), np.array([0]), m=0)
    assert (found.joint_pass_at.m, found.pass_at[1].m, found.joint_attainment.prompts) == (
        (),
        (),
        0,
    )


def test_spreads_and_clipped_shares_are_those_of_each_prompt() -> None:
    raw = np.array([[5, 1], [1, 1], [6, NONE], [7, 0]], dtype=float)
    prompt = np.array([0, 0, 0, 1])
    spreads = prompt_spreads(DIMS, raw, prompt)
    assert spreads[0].tolist() == [0.5, 0.0] and np.isnan(spreads[1]).all()
    shares = clipped_shares(DIMS, raw, prompt)
    assert shares.tolist() == [[pytest.approx(1 / 3), 0.0], [1.0, 0.0]]


def test_prompt_numbers_are_those_of_each_prompt_and_undefined_below_m() -> None:
    raw = np.array([[5, 1], [1, 1], [5, 0], [3, 1], [4, 1]], dtype=float)
    prompt = np.array([0, 0, 0, 0, 1])
    found = prompt_numbers(DIMS, raw, prompt, m=2, seeds=[1, 2, 3], pooled=0.5)
    first = PromptScores(dims=DIMS, raw=raw[:4])
    assert found.joint_pass_rate[:2].tolist() == [0.25, 1.0]
    assert found.joint_pass_at[0] == pytest.approx(0.5)
    assert found.reward_variance[0] == ceiling.reward_variance(first.rewards)
    assert found.joint_attainment[0] == ceiling.best_of(first.rewards.min(axis=1), 2)
    # Volumes of the 6 pairs: (5,1) with any other 1; {(1,1),(5,0)} 0; with (3,1) 0.5 twice.
    assert found.volume[0] == pytest.approx((3 * 1 + 0 + 0.5 + 0.5) / 6)
    assert found.coverage[0] == found.volume[0] / 0.5
    assert np.isnan(prompt_numbers(DIMS, raw, prompt, m=2, seeds=[1, 2, 3]).coverage).all()
    assert np.isnan(found.volume[1]) and np.isnan(found.joint_pass_rate[2])


def test_a_pooled_volume_is_that_of_all_arms_rollouts() -> None:
    arms = [np.array([[1.0, 0.5], [NONE, 1.0]]), np.array([[0.5, 1.0]])]
    assert pooled_volume(arms) == pytest.approx(0.75)
    assert pooled_volume([np.array([[NONE, 1.0]])]) is None
    assert pooled_volume([]) is None


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6), st.data())
def test_shares_of_the_best_are_those_of_all_subsets(
    rollouts: list[tuple[int, bool]], data: st.DataObject
) -> None:
    m = data.draw(st.integers(1, len(rollouts)))
    level = np.array([g for g, _ in rollouts])
    passed = np.array([p for _, p in rollouts])
    found = grade_shares(level, 3, passed, np.zeros(len(rollouts), dtype=int), m)
    best, rates = [], []
    for subset in combinations(rollouts, m):
        top = max(g for g, _ in subset)
        best.append(top)
        # Among the best ones of a subset any is taken.
        rates.append(np.mean([p for g, p in subset if g == top]))
    assert found.share == pytest.approx([best.count(g) / len(best) for g in range(3)])
    assert found.pass_rate == pytest.approx(np.mean(rates))


def test_shares_of_all_rollouts_are_means_over_prompts() -> None:
    level, passed = np.array([0, 1, 1]), np.array([True, False, True])
    found = grade_shares(level, 2, passed, np.array([0, 0, 7]), None)
    assert found.share == (0.25, 0.75) and found.pass_rate == 0.75 and found.prompts == 2
    assert grade_shares(level, 2, passed, np.array([0, 0, 7]), 2).prompts == 1
    assert grade_shares(level, 2, passed, np.array([0, 0, 7]), 4).pass_rate is None


def test_levels_are_whole_grades_or_parts_of_the_reward() -> None:
    level, names = levels_of(HELPFUL, np.array([1.0, 5.0, NONE]), graded=True)
    assert level.tolist() == [0, 4, -1] and names == ("1", "2", "3", "4", "5")
    level, names = levels_of(HELPFUL, np.array([1.5, 5.0, NONE, 3.0]), graded=False)
    assert level.tolist() == [0, 4, -1, 2] and names[0] == "0 to 0.2"
    cost = Dimension(name="cost", scale_low=0, scale_high=2, bar=1, higher_is_better=False)
    level, names = levels_of(cost, np.array([0.0, 2.0, NONE]), graded=True)
    assert level.tolist() == [2, 0, -1] and names == ("2", "1", "0")


def test_half_grades_are_no_grades() -> None:
    assert are_grades(HELPFUL, np.array([1.0, 5.0, NONE]))
    assert not are_grades(HELPFUL, np.array([1.0, 3.5]))
    wide = Dimension(name="wide", scale_low=0, scale_high=100, bar=50, higher_is_better=True)
    assert not are_grades(wide, np.array([1.0]))


def test_rows_by_prompt_are_in_the_order_of_the_prompts() -> None:
    assert [r.tolist() for r in rows_by_prompt(np.array([2, 0, 2]))] == [[1], [0, 2]]
    assert rows_by_prompt(np.empty(0, dtype=int)) == []


def test_mining_on_noise_alone_yields_no_gain_against_fresh_rollouts() -> None:
    """Every prompt passes jointly at the same rate, so nothing is really capped: what is mined
    looks worse in the mining sample, and neither fresh sample of it does."""
    rng = np.random.default_rng(11)
    P, n = 3000, 16

    def sample() -> np.ndarray:
        grades = np.where(rng.random(P * n) < 0.3, 5.0, 1.0)
        return np.column_stack([grades, (rng.random(P * n) < 0.8).astype(float)])

    prompt = np.repeat(np.arange(P), n)
    mining, originals, rewrites = sample(), sample(), sample()
    verdicts = mine_many(DIMS, mining, prompt, MiningRule(attained_at=0.5, joint_at_most=0.1))
    mined = verdicts.code >= 3
    assert 100 < mined.sum() < P
    rates = [
        prompt_numbers(DIMS, raw, prompt, m=8, seeds=[0] * P).joint_pass_rate[mined].mean()
        for raw in (mining, originals, rewrites)
    ]
    error = math.sqrt(0.24 * 0.76 / (n * mined.sum()))
    assert rates[1] - rates[0] > 10 * error, "the mining sample shows a gain that is not there"
    assert abs(rates[2] - rates[1]) < 4 * error
    assert abs(rates[1] - 0.24) < 4 * error
