"""Points, front and contributions of a project's evaluations."""

from typing import Any

import pytest

from alignment.models import Evaluation, Project, Prompt, Rollout, Run, Sampling, Stage, Status
from alignment.queries.points import pareto
from alignment.queries.results import policy_table
from tests.results.conftest import MakeEvaluation
from tests.results.test_asked import planned


def points_of(project: Project) -> dict[str, Any]:
    return {p.row.name: (p.on_front, p.contribution) for p in pareto(project)}


def test_the_front_holds_what_nothing_dominates(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    make_evaluation("safe", [("a", "stop", [2, 1])])  # 0.25, 1
    make_evaluation("useful", [("a", "stop", [5, 0.5])])  # 1, 0.5
    make_evaluation("dominated", [("a", "stop", [2, 0.5])])  # 0.25, 0.5
    points = points_of(project)
    assert list(points) == ["safe", "useful", "dominated"]
    assert points["safe"] == (True, pytest.approx(0.25 * 0.5))
    assert points["useful"] == (True, pytest.approx(0.75 * 0.5))
    assert points["dominated"] == (False, 0)


def test_a_policy_without_a_mean_on_some_dimension_has_no_place(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    make_evaluation("whole", [("a", "stop", [2, 1])])
    make_evaluation("half", [("a", "stop", [5, ""])])
    assert points_of(project) == {"whole": (True, pytest.approx(0.25)), "half": (None, None)}


def test_policies_on_other_prompts_are_not_compared(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    make_evaluation("better", [("a", "stop", [5, 1])])
    make_evaluation("elsewhere", [("a", "stop", [2, 0.5])], prompt_set="T")
    assert points_of(project)["elsewhere"] == (True, pytest.approx(0.125))


def test_policies_asked_other_prompts_of_one_set_are_not_compared(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    make_evaluation("both", [("a", "stop", [5, 1]), ("b", "stop", [5, 1])])
    make_evaluation("twice", [("a", "stop", [2, 1]), ("a", "stop", [2, 1]), ("b", "stop", [2, 1])])
    make_evaluation("one", [("a", "stop", [2, 0.5])])
    points = points_of(project)
    assert (points["twice"][0], points["one"]) == (False, (True, pytest.approx(0.125)))


def test_policies_judged_by_another_version_of_a_judge_are_not_compared(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    make_evaluation("better", [("a", "stop", [5, 1])])
    project.judges.filter(name="helpful judge").update(version=2)
    make_evaluation("later", [("a", "stop", [2, 0.5])])
    assert points_of(project)["later"] == (True, pytest.approx(0.125))
    first, second = [p.row.comparison[0] for p in pareto(project)]
    assert [version for _, version in first] == [1, 1]
    assert [version for _, version in second] == [2, 1]


def again(first: Evaluation, other: Evaluation, **params: float) -> None:
    """Makes the other an evaluation of the first's policy."""
    Evaluation.objects.filter(pk=other.pk).update(policy=first.policy)
    Sampling.objects.filter(pk=other.sampling_id).update(policy=first.policy, params=params)


def test_a_policy_evaluated_again_is_one_point_over_all_its_rollouts(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    start = make_evaluation("start", [("a", "stop", [5, 0.5]), ("b", "stop", [1, 1])])
    after = make_evaluation("after", [("a", "stop", [4, 1]), ("b", "stop", [3, 0.5])])
    lucky = make_evaluation("run 2: start", [("a", "stop", [3, 1]), ("b", "stop", [None, 1])])
    again(start, lucky)
    one, other = pareto(project)
    assert (one.row.name, one.row.evaluations) == ("start", (start, lucky))
    helpful, harmless = one.row.rewards.values()
    assert (helpful.mean, helpful.n, helpful.invalid) == ((0.75 + 0) / 2, 3, 1)
    assert (harmless.mean, one.row.rollouts, one.row.prompts) == ((0.75 + 1) / 2, 4, 2)
    assert (other.row.evaluations, other.on_front) == ((after,), True)
    assert [row.name for row in policy_table([start, lucky])] == ["start", "run 2: start"]


def test_a_policy_asked_with_other_settings_is_a_point_of_its_own(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    every = [make_evaluation(f"run {i}: start", [("a", "stop", [5, 1])]) for i in range(4)]
    for i, one in enumerate(every):
        again(every[0], one, temperature=float(i > 1), n=i)
    names = [p.row.name for p in pareto(project)]
    assert names == ["run 0: start (temperature 0.0)", "run 0: start (temperature 1.0)"]


def test_a_rollout_drawn_again_by_the_same_seed_counts_once(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    """As where two runs of one seed, one of them by other judges of pairs, evaluate their start."""
    rows: list[Any] = [("a", "stop", [5, 1]), ("a", "stop", [1, 1]), ("b", "stop", [3, 1])]
    first, second = make_evaluation("start", rows), make_evaluation("run 2: start", rows)
    other = make_evaluation("run 3: start", [("a", "stop", [1, 0.5]), ("b", "stop", [1, 0.5])])
    for evaluation, seeds in ((first, (7, 8, 7)), (second, (7, 8, 7)), (other, (9, 7))):
        rollouts = evaluation.sampling.rollouts.order_by("pk")
        for rollout, seed in zip(rollouts, seeds, strict=True):
            Rollout.objects.filter(pk=rollout.pk).update(seed=seed)
    Rollout.objects.filter(sampling=other.sampling).update(text="another")
    again(first, second)
    again(first, other)
    (point,) = pareto(project)
    helpful = point.row.rewards["helpful"]
    assert (point.row.rollouts, helpful.n, len(point.row.evaluations)) == (5, 5, 3)
    assert helpful.mean == pytest.approx(((1 + 0 + 0) / 3 + (0.5 + 0) / 2) / 2)


def test_policies_are_compared_on_the_prompts_that_all_of_them_answered(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    """One left out what is hard for the others, and gains nothing by it."""
    hard: list[Any] = [("hard", "stop", [1, 0.5]), ("harder", "stop", [1, 0.5])]
    make_evaluation("one", [("easy", "stop", [4, 1]), *hard])
    make_evaluation("other", [("easy", "stop", [5, 0.5]), *hard])
    pks = sorted(Prompt.objects.values_list("pk", flat=True))
    planned(make_evaluation("partly", [("easy", "stop", [3, 0.75]), hard[0]]), pks)
    planned(make_evaluation("hardly", [("easy", "stop", [5, 1])]), pks)
    Stage.objects.update(status=Status.SUCCEEDED)
    points = {p.row.name: p for p in pareto(project)}
    assert {name: (p.apart, p.on_front) for name, p in points.items()} == {
        "one": (False, True),
        "other": (False, True),
        "partly": (False, False),
        "hardly": (True, None),
    }
    assert points["partly"].means == {"helpful": 0.25, "harmless": 0.625}
    assert points["one"].means == {"helpful": 0.375, "harmless": 0.75}, "without the hardest"
    assert points["one"].row.rewards["helpful"].mean == pytest.approx(0.25), "its own three"
    assert {p.common for p in points.values()} == {2}
    assert points["hardly"].contribution is None and points["partly"].contribution == 0
    assert points["other"].contribution == pytest.approx((0.5 - 0.375) * 0.5)


def test_policies_that_each_left_another_prompt_out_stay_compared(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    rows: list[Any] = [(name, "stop", [2, 1]) for name in "abcdef"]
    make_evaluation("whole", rows)
    pks = sorted(Prompt.objects.values_list("pk", flat=True))
    for i in range(3):
        planned(make_evaluation(f"without {i}", rows[:i] + rows[i + 1 :]), pks)
    Stage.objects.update(status=Status.SUCCEEDED)
    assert [(p.apart, p.on_front, p.common) for p in pareto(project)] == [(False, True, 3)] * 4


def test_policies_that_answered_nothing_in_common_are_not_compared(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    rows: list[Any] = [(name, "stop", [2, 1]) for name in "ab"]
    first = make_evaluation("first", rows[:1])
    planned(first, sorted([*Prompt.objects.values_list("pk", flat=True)]))
    other = make_evaluation("other", rows[1:])
    pks = sorted(Prompt.objects.values_list("pk", flat=True))
    first.stage.chunks.update(items=pks)  # type: ignore[union-attr]
    planned(other, pks)
    Stage.objects.update(status=Status.SUCCEEDED)
    found = [(p.apart, p.on_front, p.common) for p in pareto(project)]
    assert found == [(False, None, 0)] * 2


def test_one_text_in_several_sets_is_answered_in_each(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    """As where every dimension has a held-out set of its own and these share their prompts."""
    made = make_evaluation("one", [("a", "stop", [2, 1])])
    make_evaluation("twin", [("a", "stop", [2, 1])], prompt_set="T")
    make_evaluation("third", [("a", "stop", [2, 1])], prompt_set="U")
    Evaluation.objects.exclude(pk=made.pk).delete()
    Rollout.objects.update(sampling=made.sampling, index=0)
    planned(made, sorted(Prompt.objects.values_list("pk", flat=True)))
    Stage.objects.update(status=Status.SUCCEEDED)
    (point,) = pareto(project)
    assert (point.row.prompts, point.apart, point.on_front, point.common) == (3, False, True, None)


def test_an_unfinished_evaluation_is_not_shown(
    project: Project, make_evaluation: MakeEvaluation
) -> None:
    run = Run.objects.create(project=project, name="r", config={})
    stage = Stage.objects.create(run=run, position=0, round=0, kind="evaluate", config={})
    evaluation: Evaluation = make_evaluation("start", [("a", "stop", [5, 1])], stage=stage)
    assert pareto(project) == []
    Stage.objects.filter(pk=stage.pk).update(status=Status.SUCCEEDED)
    assert [p.row.evaluation for p in pareto(project)] == [evaluation]


def test_a_project_without_evaluations_has_no_points(project: Project) -> None:
    assert pareto(project) == []
