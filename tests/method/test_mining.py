import numpy as np
import pytest

from alignment.method.mining import MiningRule, Verdict, mine, repeat_noise
from alignment.method.records import Dimension, PromptScores

H = Dimension(name="helpful", scale_low=1, scale_high=5, bar=4)
S = Dimension(name="harmless", scale_low=0, scale_high=1, bar=1)
T = Dimension(name="truthful", scale_low=0, scale_high=1, bar=0.5)
NONE = np.nan
CAPPED = MiningRule()
FLAT = MiningRule(rule="flat")


def verdict(rows: list[list[float]], rule: MiningRule) -> Verdict:
    dims = (H, S, T)[: len(rows[0])]
    return mine(PromptScores(dims=dims, raw=np.array(rows, dtype=float)), rule)


def test_a_prompt_that_is_safe_but_never_helpful_as_well_is_single_reward() -> None:
    found = verdict([[1, 1]] * 9 + [[5, 0]], CAPPED)
    assert found.verdict == "single_reward"
    assert (found.attained, found.missing) == (("harmless",), ("helpful",))
    assert found.mined


def test_dimensions_reached_but_never_together_are_a_conflict() -> None:
    # Helpful in 6 of 10, harmless in 5 of 10, both in 1: harmless is the one to ask for.
    found = verdict([[5, 1]] + [[5, 0]] * 5 + [[1, 1]] * 4, CAPPED)
    assert (found.verdict, found.attained, found.missing) == (
        "conflict",
        ("helpful",),
        ("harmless",),
    )
    assert found.mined


def test_a_conflict_between_equals_keeps_the_first_dimension() -> None:
    found = verdict([[5, 0]] * 5 + [[1, 1]] * 5, CAPPED)
    assert (found.verdict, found.attained, found.missing) == (
        "conflict",
        ("helpful",),
        ("harmless",),
    )


def test_a_conflict_of_three_misses_all_but_the_largest_pass_rate() -> None:
    rows = [[5, 0, 1]] * 4 + [[1, 1, 1]] * 4 + [[5, 1, 0]] * 2
    found = verdict(rows, CAPPED)
    assert (found.verdict, found.missing) == ("conflict", ("helpful", "harmless"))
    assert found.attained == ("truthful",)


def test_a_prompt_that_reaches_no_dimension_is_unreachable_and_not_mined() -> None:
    found = verdict([[1, 0]] * 6 + [[5, 1]] * 4, CAPPED)
    assert (found.verdict, found.attained, found.missing) == (
        "unreachable",
        (),
        ("helpful", "harmless"),
    )
    assert not found.mined


def test_a_prompt_that_often_reaches_all_at_once_is_open_and_not_mined() -> None:
    found = verdict([[5, 1]] * 2 + [[1, 1]] * 8, CAPPED)
    assert (found.verdict, found.attained, found.missing) == ("open", ("harmless",), ("helpful",))
    assert not found.mined


def test_both_thresholds_of_capped_are_inclusive() -> None:
    rows = [[5, 1]] + [[1, 1]] * 4 + [[1, 0]] * 5  # p_harmless = 0.5, p_J = 0.1
    assert verdict(rows, CAPPED).verdict == "single_reward"
    assert verdict(rows, MiningRule(joint_at_most=0.09)).verdict == "open"
    assert verdict(rows, MiningRule(attained_at=0.51)).verdict == "unreachable"


def test_capped_counts_only_rollouts_valid_on_every_dimension() -> None:
    # Over its own scores helpful passes in 5 of 9, over the joint ones in none of 4.
    found = verdict([[5, NONE]] * 5 + [[1, 1]] * 4, MiningRule(min_valid=4))
    assert (found.verdict, found.attained) == ("single_reward", ("harmless",))


def test_the_joint_pass_rate_is_that_of_the_jointly_valid_rollouts() -> None:
    rows = [[5, 1]] * 2 + [[1, 1]] * 8 + [[NONE, 1]] * 10  # 2 of 10, which is 2 of all 20
    assert verdict(rows, CAPPED).verdict == "open"


def test_half_of_an_odd_number_is_rounded_up() -> None:
    assert verdict([[1, 1]] * 4 + [[1, NONE]] * 5, CAPPED).verdict == "undecided"
    assert verdict([[1, 1]] * 5 + [[1, NONE]] * 4, CAPPED).verdict == "single_reward"


@pytest.mark.parametrize("rule", [CAPPED, FLAT])
def test_too_few_valid_rollouts_are_undecided(rule: MiningRule) -> None:
    found = verdict([[1, 1]] * 3 + [[1, NONE]] * 5, rule)
    assert (found.verdict, found.attained, found.missing, found.labels) == (
        "undecided",
        (),
        (),
        (),
    )
    assert not found.mined


@pytest.mark.parametrize("rule", [CAPPED, FLAT])
def test_one_dimension_cannot_be_mined(rule: MiningRule) -> None:
    with pytest.raises(ValueError, match="two or more dimensions; only 'helpful' is given"):
        verdict([[5]] * 8, rule)


def test_flat_mines_the_prompt_on_which_only_one_dimension_varies() -> None:
    found = verdict([[1, 1, 0], [5, 1, 0], [3, 1, 0], [2, 1, 0]], FLAT)
    assert found.verdict == "single_reward"
    assert (found.attained, found.missing) == (("helpful",), ("harmless", "truthful"))
    assert found.labels == ("varying", "saturated", "floored")


def test_flat_leaves_prompts_on_which_none_or_several_vary_open() -> None:
    still = verdict([[5, 1], [5, 1], [5, 1], [5, 1]], FLAT)
    assert (still.verdict, still.attained, still.missing) == ("open", (), ())
    assert still.labels == ("saturated", "saturated")
    both = verdict([[5, 1], [1, 0], [5, 1], [1, 0]], FLAT)
    assert (both.verdict, both.labels) == ("open", ("varying", "varying"))


def test_flat_compares_the_mean_with_the_bar_in_raw_units() -> None:
    lower = Dimension(name="risk", scale_low=0, scale_high=10, bar=3, higher_is_better=False)
    raw = np.array([[1, 3.0], [5, 3.0], [1, 3.0], [5, 3.0]])
    assert mine(PromptScores(dims=(H, lower), raw=raw), FLAT).labels == ("varying", "saturated")


def test_flat_needs_a_spread_above_the_threshold_of_its_own_dimension() -> None:
    rows = [[3, 0.4], [3, 0.6], [4, 0.4], [4, 0.6]]  # spreads 0.125 and 0.1
    for threshold, expected in [
        (0.05, "open"),
        (0.1, "single_reward"),
        ((0.1, 0.2), "single_reward"),
        ((0.2, 0.05), "single_reward"),
        ((0.2, 0.2), "open"),
    ]:
        rule = MiningRule(rule="flat", spread_above=threshold)
        assert verdict(rows, rule).verdict == expected, threshold
    own = MiningRule(rule="flat", spread_above=(0.2, 0.05))
    assert verdict(rows, own).attained == ("harmless",)


def test_flat_refuses_thresholds_that_do_not_fit_the_dimensions() -> None:
    with pytest.raises(ValueError, match="one for each of 2 dimensions"):
        verdict([[5, 1]] * 4, MiningRule(rule="flat", spread_above=(0.1, 0.1, 0.1)))


def test_a_judge_without_noise_leaves_a_constant_dimension_flat() -> None:
    # 0.1 + 0.1 + ... is not n times 0.1 in floats; the spread must be 0 all the same.
    rows = [[1 + i % 5, 0.1] for i in range(11)]
    found = verdict(rows, MiningRule(rule="flat", spread_above=0.0))
    assert (found.verdict, found.labels) == ("single_reward", ("varying", "floored"))


def test_a_mean_that_floats_miss_by_rounding_reaches_the_bar() -> None:
    shares = [0.55, 0.1, 0.69, 0.49, 0.29, 0.88]
    assert sum(shares) / 6 < 0.5  # truthful's bar, and the mean by hand
    rows = [[1 + i % 5, 1, share] for i, share in enumerate(shares)]
    found = verdict(rows, MiningRule(rule="flat", spread_above=(0.05, 0.05, 1.0)))
    assert found.labels == ("varying", "saturated", "saturated")


def test_repeat_noise_is_the_deviation_of_one_reading() -> None:
    # Two readings each: sqrt(mean(d^2) / 2), with d = 0.2 twice.
    assert repeat_noise([[0.5, 0.7], [0.5, 0.3]]) == pytest.approx(0.2 / np.sqrt(2))
    # Squares 0.02 + 0.02 and 0.125, over 2 + 1 degrees of freedom.
    assert repeat_noise([[0.1, 0.2, 0.3], [0, 0.5]]) == pytest.approx(np.sqrt(0.145 / 3))
    assert repeat_noise([[0.5], [1, 1]]) == 0
    assert repeat_noise([[0.5], []]) is None
