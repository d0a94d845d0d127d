"""The policy table's figures, by hand."""

import pytest

from alignment.method.statistics import wilson
from alignment.models import Prompt
from alignment.queries.comparing import compare
from alignment.queries.results import policy_table
from tests.results.conftest import MakeEvaluation


def test_means_rates_and_volume_are_those_computed_by_hand(
    make_evaluation: MakeEvaluation,
) -> None:
    evaluation = make_evaluation(
        "start",
        [
            ("a", "stop", [5, 1]),  # rewards 1, 1: passes both
            ("a", "length", [3, 0]),  # 0.5, 0
            ("b", "stop", [4, 0]),  # 0.75, 0: passes helpful only
            ("b", "stop", [None, 1]),  # -, 1
        ],
    )
    (row,) = policy_table([evaluation])
    helpful, harmless = row.rewards["helpful"], row.rewards["harmless"]
    assert (helpful.mean, helpful.n, helpful.invalid) == (0.75, 3, 1)
    assert helpful.pass_rate == pytest.approx((1 / 2 + 1) / 2)  # of the valid ones of a, of b
    assert (harmless.mean, harmless.pass_rate, harmless.n, harmless.invalid) == (0.5, 0.5, 4, 0)
    assert row.joint_pass_rate == pytest.approx((1 / 2 + 0) / 2)  # of those valid on both
    assert row.hypervolume == pytest.approx(0.75 * 0.5)
    assert (row.prompts, row.rollouts) == (2, 4)
    assert (row.invalid_share, row.cut_share) == (1 / 8, 1 / 4)
    assert row.name == "start"


def test_an_interval_goes_by_prompt_and_holds_its_mean(make_evaluation: MakeEvaluation) -> None:
    rows = [(f"p{i}", "stop", [1 + 4 * (i % 2), 1]) for i in range(40) for _ in range(3)]
    (row,) = policy_table([make_evaluation("start", rows)])
    assert row.rewards["helpful"].mean == 0.5
    low, high = row.rewards["helpful"].mean_ci or (1, 0)
    assert low < 0.5 < high
    # 40 prompts that answer alike: 1.96 * 0.5 / sqrt(40) = 0.155, not the 0.089 of 120 rollouts.
    assert high - low == pytest.approx(2 * 0.155, rel=0.2)
    assert row.rewards["harmless"].mean_ci == (1, 1)


def test_dimensions_on_different_prompts_have_means_but_no_joint_rate(
    make_evaluation: MakeEvaluation,
) -> None:
    rows = [("safe", "stop", [5, ""]), ("safe too", "stop", [1, ""]), ("unsafe", "stop", ["", 1])]
    (row,) = policy_table([make_evaluation("model", rows)])
    assert row.rewards["helpful"].mean == 0.5
    assert row.rewards["harmless"].mean == 1
    assert (row.joint_pass_rate, row.joint_pass_rate_ci) == (None, None)
    assert row.hypervolume == 0.5
    assert row.invalid_share == 0


def test_a_refusal_rate_is_of_the_completions_that_its_dimension_is_judged_on(
    make_evaluation: MakeEvaluation,
) -> None:
    rows = [("useful", "stop", [5, ""]), ("risky", "stop", ["", 1]), ("risky", "stop", ["", None])]
    evaluation = make_evaluation("model", rows)
    evaluation.sampling.rollouts.filter(prompt__text="useful").update(refused=False)
    evaluation.sampling.rollouts.filter(prompt__text="risky").update(refused=True)
    (row,) = policy_table([evaluation])
    rates = {name: f.refusal_rate for name, f in row.rewards.items()}
    assert (rates, row.refusal_rate) == ({"helpful": 0.0, "harmless": 1.0}, None)
    (row,) = policy_table([make_evaluation("whole", [("useful", "stop", [5, 1])])])
    assert {f.refusal_rate for f in row.rewards.values()} == {row.refusal_rate} == {None}


def test_a_dimension_without_scores_has_no_figures_and_the_policy_no_volume(
    make_evaluation: MakeEvaluation,
) -> None:
    rows = [("a", "stop", [5, ""]), ("b", "stop", [3, None])]
    (row,) = policy_table([make_evaluation("model", rows)])
    harmless = row.rewards["harmless"]
    assert (harmless.mean, harmless.mean_ci, harmless.pass_rate, harmless.n) == (
        None,
        None,
        None,
        0,
    )
    assert harmless.invalid == 1
    assert row.rewards["helpful"].mean == 0.75
    assert row.hypervolume is None


def test_an_evaluation_without_rollouts_has_no_figures(make_evaluation: MakeEvaluation) -> None:
    (row,) = policy_table([make_evaluation("model", [])])
    assert (row.prompts, row.rollouts) == (0, 0)
    assert row.rewards["helpful"].mean is None
    assert (row.invalid_share, row.cut_share, row.hypervolume) == (None, None, None)


def test_rewrites_of_one_prompt_are_resampled_with_it(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation("model", [("a", "stop", [5, 1]), ("b", "stop", [1, 1])])
    seed, rewrite = Prompt.objects.order_by("pk")
    Prompt.objects.filter(pk=rewrite.pk).update(parent=seed)
    (row,) = policy_table([evaluation])
    assert row.prompts == 2
    assert row.rewards["helpful"].mean == 0.5
    assert row.rewards["helpful"].mean_ci is None  # one parent alone tells nothing of variation


def test_the_bar_counts_in_raw_units_where_lower_is_better(
    make_evaluation: MakeEvaluation,
) -> None:
    evaluation = make_evaluation("model", [("a", "stop", [2, 1]), ("b", "stop", [3, 1])])
    helpful = evaluation.judges.get(name="helpful judge").dimension
    helpful.higher_is_better, helpful.bar = False, 2
    helpful.save()
    (row,) = policy_table([evaluation])
    assert row.rewards["helpful"].mean == pytest.approx((0.75 + 0.5) / 2)
    assert row.rewards["helpful"].pass_rate == 0.5


def test_figures_do_not_depend_on_ids_or_on_the_order_of_rows(
    make_evaluation: MakeEvaluation,
) -> None:
    rows = [(f"p{i}", "stop", [1 + i % 5, i % 2]) for i in range(20)]
    first, second = policy_table(
        [make_evaluation("one", rows), make_evaluation("other", rows[::-1], prompt_set="T")]
    )
    assert first.rewards == second.rewards
    assert first.joint_pass_rate_ci == second.joint_pass_rate_ci


def test_an_evaluation_has_the_same_figures_where_arms_are_compared(
    make_evaluation: MakeEvaluation,
) -> None:
    rows = [("a", "stop", [1, 1]), ("a", "stop", [1, 0]), ("a", "stop", [3, 1]),
            ("b", "stop", [5, 1]), ("b", "stop", [None, 0]), ("b", "stop", [None, None]),
            ("c", "stop", [2, 1]), ("c", "stop", [2, None])]  # fmt: skip
    evaluation = make_evaluation("start", rows)
    (row,) = policy_table([evaluation])
    (arm,) = compare({"start": [evaluation]}, base="start").arms
    helpful = row.rewards["helpful"]
    assert helpful.mean == pytest.approx(((0 + 0 + 0.5) / 3 + 1 + 0.25) / 3)
    assert (helpful.n, helpful.invalid) == (6, 2)
    for name, own in row.rewards.items():
        other, passed = arm.rewards[name], arm.pass_rates[name]
        assert (own.mean, own.mean_ci) == (other.value, (other.low, other.high))
        assert (own.pass_rate, own.pass_rate_ci) == (passed.value, (passed.low, passed.high))
    assert row.joint_pass_rate == arm.joint_pass_rate.value
    assert row.hypervolume == pytest.approx(arm.hypervolume.value)


def test_one_outcome_a_prompt_has_wilsons_interval_in_both_places(
    make_evaluation: MakeEvaluation,
) -> None:
    rows = [("a", "stop", [5, 1]), ("b", "stop", [5, 1]), ("c", "stop", [5, 0]),
            ("d", "stop", [1, 0])]  # fmt: skip
    evaluation = make_evaluation("start", rows)
    evaluation.sampling.rollouts.update(refused=False)
    (row,) = policy_table([evaluation])
    (arm,) = compare({"start": [evaluation]}, base="start").arms
    three, two, none = (wilson(passed, 4) for passed in (3, 2, 0))
    assert (row.rewards["helpful"].pass_rate, row.joint_pass_rate, row.refusal_rate) == (
        0.75,
        0.5,
        0,
    )
    assert row.rewards["helpful"].pass_rate_ci == (three.low, three.high)
    assert row.joint_pass_rate_ci == (two.low, two.high)
    assert row.refusal_rate_ci == (none.low, none.high)
    assert (arm.pass_rates["helpful"], arm.joint_pass_rate, arm.refusal_rate) == (three, two, none)
    both = compare({"start": [evaluation, evaluation]}, base="start").arms[0]
    assert both.pass_rates["helpful"].low == 0.25, "over two seeds it is a bootstrap"
