from typing import Any

import numpy as np
import pytest

from alignment.method.records import Dimension, PromptScores
from alignment.method.selection import Selected, SelectionRule, implied_gap, select_pairs

H = Dimension(name="helpful", scale_low=0, scale_high=1, bar=0.75)
S = Dimension(name="harmless", scale_low=0, scale_high=1, bar=0.5)
NONE = np.nan


def select(
    rows: list[list[float]],
    *,
    texts: list[str] | None = None,
    cut: list[bool] | None = None,
    lengths: list[int] | None = None,
    **rule: Any,
) -> Selected:
    n = len(rows)
    return select_pairs(
        PromptScores(dims=(H, S), raw=np.array(rows, dtype=float).reshape(n, 2)),
        SelectionRule(**rule),
        texts=texts or [f"text {i}" for i in range(n)],
        cut=cut or [False] * n,
        lengths=lengths or [10] * n,
    )


def taken(found: Selected) -> list[tuple[int, int]]:
    return [(p.chosen, p.rejected) for p in found.pairs]


def test_the_pair_of_a_prompt_worked_by_hand() -> None:
    found = select([[0.5, 0.5], [1, 1], [0, 0.75], [0.25, 0.25]])
    assert taken(found) == [(1, 3)]
    (pair,) = found.pairs
    assert pair.margin == 0.75
    assert pair.gaps == (0.75, 0.75)
    assert found.left == {
        "rollouts": 4,
        "valid": 4,
        "finished": 4,
        "distinct": 4,
        "pairs": 6,
        "higher": 6,
        "margin": 6,
        "consistent": 4,  # (0, 3), (1, 0), (1, 2), (1, 3)
        "taken": 1,
    }


def test_pairs_are_taken_greedily_and_no_rollout_twice() -> None:
    found = select([[0.5, 0.5], [1, 1], [0, 0.25], [0.25, 0.25]], pairs_per_prompt=4)
    assert taken(found) == [(1, 2), (0, 3)]
    assert found.left["taken"] == 2


def test_equal_margins_go_by_the_index_of_chosen_then_of_rejected() -> None:
    rows = [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert taken(select(rows, pairs_per_prompt=4)) == [(1, 0), (3, 2)]


def test_rollouts_without_a_score_or_stopped_by_length_are_left_out() -> None:
    rows = [[1, 1], [1, NONE], [0.5, 0.5], [0, 0]]
    found = select(rows, cut=[True, False, False, False], pairs_per_prompt=4)
    assert taken(found) == [(2, 3)]
    assert [found.left[k] for k in ("rollouts", "valid", "finished", "distinct")] == [4, 3, 2, 2]


def test_identical_texts_become_one_with_their_scores_averaged() -> None:
    rows = [[1, 1], [0.75, 0.75], [0, 0], [0.5, 0]]
    found = select(rows, texts=["a", "b", "a", "c"])
    # "a" averages to (0.5, 0.5), so "b" is the best against "c".
    assert taken(found) == [(1, 3)]
    assert found.left["distinct"] == 3


def test_a_text_counts_by_its_first_copy_that_is_a_candidate() -> None:
    rows = [[NONE, 1], [1, 1], [1, 1], [0, 0]]
    assert taken(select(rows, texts=["a", "a", "a", "b"])) == [(1, 3)]


def test_averaging_equal_scores_makes_no_margin() -> None:
    # The float mean of three times 0.7 is not 0.7.
    found = select([[0.7, 0.7]] * 4, texts=["a", "a", "a", "b"])
    assert found.left["pairs"] == 1
    assert found.left["higher"] == 0


def test_an_average_that_floats_miss_by_rounding_reaches_its_bar() -> None:
    shares = [0.48, 0.59, 0.43]
    assert sum(shares) / 3 < 0.5  # harmless's bar, and the mean by hand
    rows = [[1, share] for share in shares] + [[0, 0]]
    assert taken(select(rows, texts=["a", "a", "a", "b"], chosen_passes=True)) == [(0, 3)]


def test_weighting_equal_sums_in_another_order_makes_no_margin() -> None:
    third = 1 / 3
    found = select([[0.1, third], [third, 0.1]], consistent=False)
    assert found.left["higher"] == 0


def test_a_margin_that_floats_miss_by_rounding_is_reached() -> None:
    assert 0.3 - 0.1 < 0.2
    assert taken(select([[0.3, 0.3], [0.1, 0.1]], margin_at_least=0.2)) == [(0, 1)]
    assert taken(select([[0.3, 0.3], [0.1, 0.1]], margin_at_least=0.201)) == []


def test_weights_decide_which_rollout_is_chosen() -> None:
    rows = [[1, 0], [0, 1]]
    heavy = {"helpful": 0.75, "harmless": 0.25}
    (pair,) = select(rows, weights=heavy, consistent=False).pairs
    assert (pair.chosen, pair.margin, pair.gaps) == (0, 0.5, (1, -1))
    (pair,) = select(rows, weights={"helpful": 0, "harmless": 1}, consistent=False).pairs
    assert (pair.chosen, pair.margin) == (1, 1)


def test_consistent_refuses_a_pair_that_falls_on_any_dimension() -> None:
    rows = [[1, 0.25], [0, 0.5]]
    assert taken(select(rows, consistent=False)) == [(0, 1)]
    assert taken(select(rows)) == []


def test_the_focus_must_rise_strictly_while_an_aligned_dimension_may_stay() -> None:
    rows = [[0.5, 1], [0.5, 0]]
    assert taken(select(rows, focus="helpful")) == []
    assert taken(select(rows, focus="harmless", aligned=("helpful",))) == [(0, 1)]


def test_an_aligned_dimension_must_not_fall_even_where_others_may() -> None:
    rows = [[1, 0.25], [0, 0.5]]
    loose = select(rows, focus="helpful", consistent=False)
    bound = select(rows, focus="helpful", aligned=("harmless",), consistent=False)
    assert (taken(loose), taken(bound)) == ([(0, 1)], [])
    assert (bound.left["focus"], bound.left["aligned"]) == (1, 0)


def test_the_chosen_one_may_have_to_pass_every_bar() -> None:
    rows = [[1, 0.25], [0.75, 0.5], [0, 0]]
    assert taken(select(rows)) == [(0, 2)]
    assert taken(select(rows, chosen_passes=True)) == [(1, 2)]


def test_the_length_difference_may_be_bounded_inclusively() -> None:
    rows, lengths = [[1, 1], [0.5, 0.5], [0, 0]], [20, 10, 9]
    assert taken(select(rows, lengths=lengths, length_gap_at_most=10)) == [(0, 1)]
    assert taken(select(rows, lengths=lengths, length_gap_at_most=9)) == [(1, 2)]


def test_rs_dpo_takes_every_pair_from_its_implied_gap_on() -> None:
    rows = [[1, 1], [0.9, 0.9], [0.8, 0.8], [0.7, 0.7]]
    found = select(rows, rule="rs_dpo", consistent=False)
    assert implied_gap(0.1, 0.85) == pytest.approx(0.1734601)
    assert taken(found) == [(0, 3), (0, 2), (1, 3)]
    assert found.left["margin"] == found.left["taken"] == 3


def test_all_pairs_of_equal_margin_go_by_chosen_before_rejected() -> None:
    found = select([[1, 1], [1, 1], [0, 0], [0, 0]], rule="rs_dpo")
    assert taken(found) == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_rs_dpo_s_threshold_is_where_the_sigmoid_reaches_eta() -> None:
    for eta in (0.6, 0.85, 0.99):
        assert 1 / (1 + np.exp(-implied_gap(0.1, eta) / 0.1)) == pytest.approx(eta)


@pytest.mark.parametrize(("tau", "eta"), [(0.0, 0.85), (0.1, 0.5), (0.1, 1.0)])
def test_rs_dpo_refuses_thresholds_that_every_or_no_pair_meets(tau: float, eta: float) -> None:
    with pytest.raises(ValueError, match="tau above 0 and eta between"):
        select([[1, 1], [0, 0]], rule="rs_dpo", tau=tau, eta=eta)


def test_max_min_takes_the_largest_gap_of_the_worst_dimension() -> None:
    rows = [[1, 0.5], [0.5, 0.5], [0.25, 0.25], [0, 0.25]]
    by_sum = select(rows)
    by_worst = select(rows, rule="max_min")
    assert taken(by_sum) == [(0, 3)]
    assert taken(by_worst) == [(0, 2)]  # 0.25 at worst, as (0, 3) has; the smaller index first
    assert by_worst.pairs[0].margin == 0.5


def test_max_min_prefers_the_pair_whose_worst_dimension_rises_most() -> None:
    rows = [[1, 0.5], [0, 0.5], [0.25, 0.75]]
    assert taken(select(rows)) == [(0, 1)]
    assert taken(select(rows, rule="max_min")) == [(2, 1)]


def test_a_dimension_that_is_level_does_not_keep_max_min_from_a_pair() -> None:
    assert taken(select([[1, 0.5], [0, 0.5]], rule="max_min")) == [(0, 1)]
    assert taken(select([[1, 0.5], [0, 0.5]], rule="max_min", margin_at_least=0.51)) == []


def test_a_prompt_without_candidates_yields_nothing() -> None:
    found = select([[NONE, 1], [1, NONE]])
    assert found.pairs == ()
    assert set(found.left.values()) == {0, 2}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"weights": {"helpful": 1.0}}, "name every dimension"),
        ({"weights": {"helpful": 0.5, "harmless": 0.4}}, "sum to 1"),
        ({"weights": {"helpful": 1.5, "harmless": -0.5}}, "at least 0"),
        ({"focus": "truthful"}, "must be dimensions"),
        ({"aligned": ("truthful",)}, "must be dimensions"),
        ({"pairs_per_prompt": 0}, "at least 1"),
        ({"margin_at_least": -0.1}, "at least 0"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select([[1, 1], [0, 0]], **rule)


def test_lists_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rollouts need as many"):
        select([[1, 1], [0, 0]], texts=["one"])
