"""The Compare page: arms over seeds, differences, win rates, tax, feasible targets, the sweep."""

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alignment.method.errors import MoraError
from alignment.models import (
    Chunk,
    Evaluation,
    Judge,
    Policy,
    Preference,
    Project,
    Prompt,
    Run,
)
from alignment.queries.compare_arms import arms_of
from alignment.queries.compare_page import compare_page
from alignment.queries.comparing import compare
from tests.builders import make_run
from tests.web.compare_runs import KEEN, SAFE, evaluated
from tests.web.conftest import add_evaluation, put, stage_of


def prefer(after: Evaluation, start: Evaluation, judge: Judge) -> None:
    """The judge prefers the evaluation's completions to the start policy's, in both orders."""
    own, other = (e.sampling.rollouts.order_by("prompt_id") for e in (after, start))
    for one, two in zip(own, other, strict=True):
        version = {"judge": judge, "judge_version": judge.version}
        Preference.objects.create(first=one, second=two, outcome=1.0, **version)
        Preference.objects.create(first=two, second=one, outcome=0.0, **version)


@pytest.fixture
def arms(project: Project, people: dict[str, User]) -> dict[str, list[Run]]:
    """Two arms of two seeds: `safe` and `keen`, which is longer; the start policy is safe."""
    found: dict[str, list[Run]] = {}
    for name, raw, pair in (("safe", SAFE, {}), ("keen", KEEN, {"consistent": False})):
        for seed in (1, 2):
            run = make_run(
                project, people["researcher"], name=f"{name} seed {seed}", seed=seed, pair=pair
            )
            evaluated(run, 1, raw, 10 if name == "safe" else 20)
            if name == "safe":
                evaluated(run, 0, SAFE, 10)
            found.setdefault(name, []).append(run)
    return found


def test_runs_that_differ_in_their_seed_alone_are_one_arm(
    project: Project, arms: dict[str, list[Run]]
) -> None:
    found = {a.name: a for a in arms_of(project)}
    assert set(found) == {"safe", "keen", "start"}
    assert sorted(found["keen"].evaluations) == [1, 2]


def test_figures_are_over_seeds_and_prompts(project: Project, arms: dict[str, list[Run]]) -> None:
    found = compare_page(project, {"base": "safe"}).comparison
    assert found is not None and (found.prompts, found.reference) == (4, "start")
    keen = next(a for a in found.arms if a.name == "keen")
    assert keen.rewards["helpful"].value == pytest.approx((3 * 0.75 + 0.25) / 4)
    assert keen.rewards["harmless"].value == 0.5
    assert keen.hypervolume.value == pytest.approx(0.625 * 0.5)
    assert (keen.tokens.value, keen.refusal_rate.value, keen.seeds) == (20, 0.0, 2)
    # Three prompts are more helpful than the start's, one is equal.
    assert keen.wins["helpful"].rate.value == pytest.approx((3 + 0.5) / 4)
    assert keen.by_seed == [{"helpful": 0.625, "harmless": 0.5, "truthful": 1.0,
                             "hypervolume": 0.3125}] * 2  # fmt: skip


def test_differences_are_paired_tested_and_corrected(
    project: Project, arms: dict[str, list[Run]]
) -> None:
    found = compare_page(project, {"base": "safe"}).comparison
    assert found is not None
    rows = {(d.arm, d.figure): d for d in found.differences}
    helpful, truthful = rows["keen", "helpful"], rows["keen", "truthful"]
    assert helpful.plain.value == pytest.approx(0.375)
    # Of the 16 sign patterns of three equal differences and a zero, 4 reach the sum.
    assert helpful.p == pytest.approx(0.25, abs=0.03)
    # Six tests in all, of which four have p = 1.
    assert helpful.corrected is not None and helpful.p < helpful.corrected <= 6 * helpful.p
    assert (truthful.p, truthful.corrected) == (1.0, 1.0)
    assert helpful.at_equal_length is not None
    assert helpful.at_equal_length.value is None, "lengths differ by the same everywhere"
    volume = rows["keen", "hypervolume"]
    assert volume.plain.value == pytest.approx(0.3125 - 0.25) and volume.p is None
    assert rows["start", "helpful"].plain.value == 0.0


def test_arms_that_do_not_fit_are_said(project: Project, arms: dict[str, list[Run]]) -> None:
    found = {a.name: list(a.evaluations.values()) for a in arms_of(project)}
    with pytest.raises(MoraError, match="equal numbers of seeds"):
        compare({"safe": found["safe"], "keen": found["keen"][:1]}, base="safe")
    add_evaluation(project, "elsewhere", SAFE)
    page = compare_page(project, {"base": "elsewhere"})
    assert page.comparison is not None and len(page.comparison.arms) == 1


def test_the_tax_is_of_the_means_over_seeds(project: Project, people: dict[str, User]) -> None:
    rounds = [{"prompts": "mixed", "focus": "harmless"}, {"prompts": "mixed", "focus": "helpful"}]
    run = make_run(project, people["researcher"], name="two", rounds=rounds)
    for number, raw in enumerate((KEEN, SAFE, KEEN)):
        evaluated(run, number, raw, 10)
    page = compare_page(project, {"base": "two"})
    assert page.tax is not None and page.rounds == ["round 1: harmless", "round 2: helpful"]
    assert page.tax.tax == ((None, None, None), (None, -0.5, None))
    assert page.tax.to_start == (0.0, 0.0, 0.0)


def test_targets_are_checked_on_the_start_policys_rollouts(
    researcher: Client, project: Project, arms: dict[str, list[Run]]
) -> None:
    page = compare_page(project, {"base": "keen"})
    assert page.targets is not None
    assert page.targets.values == {"helpful": "0.62", "harmless": "0.50", "truthful": "1.00"}
    assert page.targets.found is not None and not page.targets.found.feasible
    assert page.targets.found.shortfall == pytest.approx(0.62 - 0.25)
    near = {"base": "keen", "target.helpful": "0.2", "target.harmless": "0.5",
            "target.truthful": "0.5"}  # fmt: skip
    near_by = compare_page(project, near).targets
    found = near_by.found if near_by else None
    assert found is not None and found.feasible
    odd = researcher.get(reverse("compare", args=[project.slug]), {"target.helpful": "much"})
    assert "A target is a number from 0 to 1" in odd.content.decode()


def test_shares_of_the_pairs_make_a_sweep(project: Project, people: dict[str, User]) -> None:
    for share, raw in ((1.0, KEEN), (0.5, SAFE)):
        run = make_run(
            project, people["researcher"], name=f"share {share}", train={"pairs_share": share}
        )
        put(stage_of(run, "pair"), status="succeeded", facts={"pairs": 40})
        evaluated(run, 1, raw, 10)
    page = compare_page(project, {"base": "share 1.0"})
    assert page.sweep is not None
    assert (page.sweep.pairs, page.sweep.shares) == ([20.0, 40.0], [0.5, 1.0])
    assert page.sweep.rewards["helpful"] == [0.25, 0.625]


def test_the_page_and_its_csv_show_it(
    researcher: Client, project: Project, arms: dict[str, list[Run]]
) -> None:
    text = researcher.get(reverse("compare", args=[project.slug])).content.decode()
    assert "Differences to" in text and "sign-flip test" in text and "so both orders agree" in text
    page: Any = researcher.get(reverse("compare-csv", args=[project.slug]), {"base": "safe"})
    rows = list(csv.DictReader(io.StringIO(page.content.decode())))
    found = next(r for r in rows if (r["arm"], r["figure"]) == ("keen", "helpful reward"))
    assert (found["value"], found["n"]) == ("0.625", "8")
    assert any(r["figure"] == "helpful at equal length" for r in rows)


def test_an_empty_project_says_so(researcher: Client, project: Project) -> None:
    text = researcher.get(reverse("compare", args=[project.slug])).content.decode()
    assert "Nothing to compare" in text


def test_wins_and_tax_are_against_the_runs_own_start_policy(
    project: Project, people: dict[str, User]
) -> None:
    rounds = [{"prompts": "mixed", "focus": "harmless"}]
    run = make_run(project, people["researcher"], name="own", rounds=rounds)
    evaluated(run, 0, SAFE, 10)
    evaluated(run, 1, KEEN, 10)
    evaluate = {**run.config["evaluate"], "limit": 2}
    other = make_run(project, people["researcher"], name="other", evaluate=evaluate)
    evaluated(other, 0, KEEN, 10)  # newer, of the same judges, on fewer prompts
    page = compare_page(project, {"base": "own"})
    assert page.comparison is not None and page.comparison.reference == "start"
    assert page.tax is not None and page.tax.to_start == (0.375, -0.5, 0.0)


def test_a_start_policy_is_one_whether_or_not_completions_are_compared(
    project: Project, people: dict[str, User]
) -> None:
    for name, asked in (("with", {"helpful": "r"}), ("without", {})):
        run = make_run(project, people["researcher"], name=name)
        config = {**run.config, "evaluate": {**run.config["evaluate"], "compare": asked}}
        Run.objects.filter(pk=run.pk).update(config=config)
        run.refresh_from_db()
        evaluated(run, 0, SAFE, 10)
    assert [a.name for a in arms_of(project)] == ["start"]


def test_seeds_judged_by_another_version_of_a_judge_are_no_arm_together(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    for seed in (1, 2):
        run = make_run(project, people["researcher"], name=f"ver seed {seed}", seed=seed)
        evaluated(run, 1, SAFE, 10)
        project.judges.filter(name="sandbox-helpful-eval").update(version=2)
    arms = {a.name: a for a in arms_of(project)}
    assert {name: list(a.evaluations) for name, a in arms.items()} == {"ver": [1], "ver (2)": [2]}
    page = compare_page(project, {"base": "ver"})
    assert page.comparison is not None and [a.name for a in page.comparison.arms] == ["ver"]
    assert page.apart == ["ver (2)"]
    text = researcher.get(reverse("compare", args=[project.slug]), {"base": "ver"}).content.decode()
    assert "another version of one, or on other prompts: ver (2)." in text
    api = researcher.get(f"/api/v1/projects/{project.slug}/compare", {"base": "ver"}).json()
    assert api["apart"] == ["ver (2)"]
    both = {name: list(arm.evaluations.values()) for name, arm in arms.items()}
    with pytest.raises(MoraError, match="other versions of a judge"):
        compare(both, base="ver")


def test_imported_policies_are_no_sweep_of_one_another(
    researcher: Client, project: Project
) -> None:
    for name in ("gpt4", "llama2"):
        add_evaluation(project, name, SAFE)
    page = compare_page(project, {})
    assert page.comparison is not None and len(page.comparison.arms) == 2
    assert page.sweep is None


def test_versions_of_judges_are_asked_for_all_evaluations_at_once(
    project: Project, arms: dict[str, list[Run]]
) -> None:
    project.judges.update(version=2)
    add_evaluation(project, "imported", SAFE)
    with CaptureQueriesContext(connection) as few:
        arms_of(project)
    for i in range(4):
        add_evaluation(project, f"imported {i}", SAFE)
    with CaptureQueriesContext(connection) as more:
        arms_of(project)
    assert len(more) == len(few)


def test_arms_compared_side_by_side_by_other_versions_are_not_shown_together(
    project: Project, people: dict[str, User]
) -> None:
    judge = project.judges.get(name="sandbox-helpful")
    for name, pair in (("one", {}), ("two", {"consistent": False})):
        run = make_run(project, people["researcher"], name=name, pair=pair)
        start, after = evaluated(run, 0, SAFE, 10), evaluated(run, 1, KEEN, 10)
        judge.version += 1
        judge.save()
        prefer(after, start, judge)
    page = compare_page(project, {"base": "start"})
    assert page.comparison is not None and page.apart == ["one"]
    assert [a.name for a in page.comparison.arms] == ["two", "start"]


def test_runs_started_together_show_what_was_preferred_to_their_own_start(
    project: Project, people: dict[str, User]
) -> None:
    judge = project.judges.get(name="sandbox-helpful")
    for name, pair in (("one", {}), ("two", {"consistent": False})):
        run = make_run(project, people["researcher"], name=name, pair=pair)
        start = evaluated(run, 0, SAFE, 10)
        prefer(evaluated(run, 1, KEEN, 10), start, judge)
    page = compare_page(project, {"base": "two"})
    assert page.comparison is not None
    found = {a.name: a.preferred for a in page.comparison.arms}
    for name in ("one", "two"):
        assert (found[name]["helpful"].rate.value, found[name]["helpful"].rate.n) == (1.0, 4)
    assert found["start"] == {}


def test_what_was_preferred_to_another_start_policy_is_not_shown_as_against_this_one(
    project: Project, people: dict[str, User]
) -> None:
    judge = project.judges.get(name="sandbox-helpful")
    Policy.objects.create(project=project, name="other", folder="model")
    for name, policy in (("one", "other"), ("two", "start")):
        run = make_run(project, people["researcher"], name=name, policy=policy)
        prefer(evaluated(run, 1, KEEN, 10), evaluated(run, 0, SAFE, 10), judge)
    page = compare_page(project, {"base": "two"})
    assert page.comparison is not None
    found = {a.name: set(a.preferred) for a in page.comparison.arms}
    assert found["one"] == set() and found["two"] == {"helpful"}


def reuse(run: Run, other: Run, number: int) -> None:
    put(stage_of(run, "evaluate", number), status="succeeded",
        reused_from=stage_of(other, "evaluate", number))  # fmt: skip


def test_a_run_that_reused_its_first_round_has_its_tax(
    project: Project, people: dict[str, User]
) -> None:
    rounds = [{"prompts": "mixed", "focus": "harmless"}, {"prompts": "mixed", "focus": "helpful"}]
    one = make_run(project, people["researcher"], name="fuse5", rounds=rounds[:1])
    evaluated(one, 0, KEEN, 10)
    evaluated(one, 1, SAFE, 10)
    two = make_run(project, people["researcher"], name="two5", rounds=rounds)
    reuse(two, one, 0)
    reuse(two, one, 1)
    evaluated(two, 2, KEEN, 10)
    page = compare_page(project, {"base": "two5"})
    assert page.comparison is not None and page.comparison.reference == "start"
    assert page.tax is not None and page.rounds == ["round 1: harmless", "round 2: helpful"]
    assert page.tax.tax == ((None, None, None), (None, -0.5, None))
    assert page.tax.to_start == (0.0, 0.0, 0.0)


def test_a_run_that_reused_everything_is_the_arm_that_it_reused(
    researcher: Client, project: Project, arms: dict[str, list[Run]], people: dict[str, User]
) -> None:
    review = {"mode": "skip", "close_after_seconds": 5}
    again = make_run(project, people["researcher"], name="again", seed=1, review=review)
    for number in (0, 1):
        reuse(again, arms["safe"][0], number)
    page = compare_page(project, {"base": "again"})
    assert page.base is not None and (page.base.name, page.base.also) == ("safe", ("again",))
    assert page.comparison is not None
    assert {a.name for a in page.comparison.arms} == {"safe", "keen", "start"}
    url = reverse("compare", args=[project.slug])
    assert "again reused every evaluation of safe" in (
        researcher.get(url, {"base": "again"}).content.decode()
    )
    text = researcher.get(reverse("results", args=[project.slug])).content.decode()
    assert text.count(">again</a>") == 2, "beside the start's and the round's evaluation"


def test_arms_trained_on_other_prompts_say_so(
    researcher: Client, project: Project, arms: dict[str, list[Run]]
) -> None:
    assert compare_page(project, {}).accepted is None
    seeds = list(Prompt.objects.filter(prompt_set__name="mixed").order_by("pk"))
    for name, accepted in (("safe", seeds[:4]), ("keen", seeds[1:4])):
        for run in arms[name]:
            stage = put(stage_of(run, "resample"), status="succeeded")
            rewrites = [
                Prompt.objects.create(
                    prompt_set=seed.prompt_set,
                    text="rewritten",
                    key=f"{name} {run.pk} {seed.pk}",
                    parent=seed,
                    stage=stage,
                )
                for seed in accepted
            ]
            items = [rewrite.pk for rewrite in rewrites]
            Chunk.objects.create(stage=stage, index=0, items=items, size=len(items))
    found = compare_page(project, {"base": "safe"}).accepted
    assert found is not None and (found.in_all, found.arms) == (6, {"safe": 8, "keen": 6})
    text = researcher.get(reverse("compare", args=[project.slug])).content.decode()
    assert "different prompts: 6 in all arms; " in text and "safe 8" in text
    api = researcher.get(f"/api/v1/projects/{project.slug}/compare", {"base": "safe"}).json()
    assert api["accepted"] == {"in_all": 6, "arms": {"safe": 8, "keen": 6}}


def test_a_seed_that_a_run_reused_counts_in_its_arm(
    project: Project, people: dict[str, User]
) -> None:
    by, review = people["researcher"], {"mode": "skip", "close_after_seconds": 5}
    first = make_run(project, by, name="first", seed=1)
    evaluated(first, 1, SAFE, 10)
    slow = make_run(project, by, name="slow seed 1", seed=1, review=review)
    reuse(slow, first, 1)
    evaluated(make_run(project, by, name="slow seed 2", seed=2, review=review), 1, KEEN, 10)
    arms = {a.name: sorted(a.evaluations) for a in arms_of(project)}
    assert arms == {"first": [1], "slow": [1, 2]}


def test_an_arm_that_is_none_is_said(
    researcher: Client, project: Project, arms: dict[str, list[Run]]
) -> None:
    url = reverse("compare", args=[project.slug])
    text = researcher.get(url, {"base": "gone"}).content.decode()
    assert "There is no arm gone here" in text and 'id="arms"' not in text
    api = researcher.get(f"/api/v1/projects/{project.slug}/compare", {"base": "gone"}).json()
    assert api["comparison"] is None and "no arm gone" in api["problem"]


def test_a_sweep_shows_the_pairs_that_were_trained_on(
    project: Project, people: dict[str, User]
) -> None:
    for share in (1.0, 0.25, 0.01):
        run = make_run(
            project, people["researcher"], name=f"share {share}", train={"pairs_share": share}
        )
        put(stage_of(run, "pair"), status="succeeded", facts={"pairs": 10})
        evaluated(run, 1, SAFE, 10)
    page = compare_page(project, {"base": "share 1.0"})
    assert page.sweep is not None and page.sweep.pairs == [1.0, 2.0, 10.0]


def test_a_further_seed_of_the_base_leaves_the_others_compared_on_theirs(
    researcher: Client, project: Project, arms: dict[str, list[Run]], people: dict[str, User]
) -> None:
    run = make_run(project, people["researcher"], name="safe seed 3", seed=3)
    evaluated(run, 0, SAFE, 10)
    evaluated(run, 1, KEEN, 10)
    page = compare_page(project, {"base": "safe"})
    assert page.comparison is not None and page.seeds == [1, 2]
    assert {a.name for a in page.comparison.arms} == {"safe", "keen", "start"}
    assert page.tax is not None and page.tax.to_start == (0.0, 0.0, 0.0), "of the same seeds"
    text = researcher.get(reverse("compare", args=[project.slug]), {"base": "safe"})
    assert "on 4 prompts, seeds 1, 2</span>" in text.content.decode()


def test_a_chosen_arm_is_compared_on_the_seeds_that_it_shares_with_the_base(
    project: Project, arms: dict[str, list[Run]], people: dict[str, User]
) -> None:
    once = make_run(
        project, people["researcher"], name="once", seed=2, pair={"margin_at_least": 0.5}
    )
    evaluated(once, 1, KEEN, 10)
    page = compare_page(project, {"base": "safe"})
    assert page.seeds == [1, 2] and page.left_out == ["once"] and "once" in page.options
    page = compare_page(project, {"base": "safe"}, ["once"])
    assert page.comparison is not None and page.seeds == [2]
    assert {a.name for a in page.comparison.arms} == {"safe", "once"}
