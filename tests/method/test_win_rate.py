import math

import pytest

from alignment.method.statistics import paired_difference, win_rate

NONE = math.nan


def test_both_orders_are_averaged_and_ties_count_half() -> None:
    found = win_rate([1, 1, 0.5, 0], [1, 0, 0.5, 0], [1, 2, 3, 4], [7] * 4, seed=1)
    # Averages 1, 0.5, 0.5, 0.
    assert (found.rate.value, found.rate.n, found.invalid_share) == (0.5, 4, 0)
    assert found.rate.low is not None


def test_a_judge_that_always_prefers_what_it_sees_first_gives_one_half() -> None:
    assert win_rate([1] * 6, [0] * 6, range(6), [7] * 6, seed=1).rate.value == 0.5


def test_a_prompt_with_an_invalid_order_is_left_out_and_its_share_shown() -> None:
    found = win_rate([1, NONE, 1, NONE], [1, 1, 0.5, NONE], [1, 2, 3, 4], [7] * 4, seed=1)
    assert (found.rate.value, found.rate.n, found.invalid_share) == (0.875, 2, 0.5)


def test_a_win_rate_over_no_valid_prompt_is_undefined() -> None:
    found = win_rate([NONE], [1], [1], [7], seed=1)
    assert (found.rate.value, found.invalid_share) == (None, 1)
    assert win_rate([], [], [], [], seed=1).invalid_share is None


def test_an_interval_is_over_seeds_and_prompts() -> None:
    # Policies of five seeds that win none to four fifths of the same 40 prompts.
    wins = [[float(p < 8 * s) for p in range(40)] for s in range(5)]
    outcomes = [one for own in wins for one in own]
    prompts, seeds = list(range(40)) * 5, [s for s in range(5) for _ in range(40)]
    found = win_rate(outcomes, outcomes, prompts, seeds, seed=1).rate
    mean = paired_difference(wins, [[0.0] * 40] * 5, range(40), seed=1)
    assert (found.value, found.n, found.parents) == (0.4, 200, 40)
    assert (found.low, found.high) == (mean.low, mean.high)
    alone = win_rate(outcomes[80:120], outcomes[80:120], range(40), [2] * 40, seed=1).rate
    assert alone.low is not None and found.low is not None and found.low < alone.low - 0.05


def test_an_outcome_that_is_no_win_tie_or_loss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1 for a win, 0\.5 for a tie"):
        win_rate([2], [1], [1], [7], seed=1)
