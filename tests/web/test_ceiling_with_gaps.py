"""The Ceiling page where scores are invalid, prompts were never sampled, or judges changed."""

import csv
import math

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment.ceiling_figures import before_after_plot, grades_plot, pass_plot
from alignment.method.mining import MiningRule
from alignment.models import Project, Prompt, Rollout, Run, Score, Verdict
from alignment.queries.ceiling_page import Shown, ceiling_page
from alignment.queries.replay import replay
from tests.builders import make_run
from tests.web.ceiling_rows import ANSWER, BOTH, REFUSAL, SAFE_ONLY, Raw, kept, mined, rewritten
from tests.web.conftest import stage_of

INVALID = (math.nan, 1.0, 1.0)
FOUR_VALID = [REFUSAL] * 4 + [INVALID] * 12


def round_of(project: Project, by: User, *raws: Raw, name: str = "fused", **changes: object) -> Run:
    """A run whose six prompts were sampled with each of `raws` in turn, and mined."""
    run = make_run(project, by, name=name, **changes)
    seeds = Prompt.objects.filter(prompt_set__name="mixed", parent=None).order_by("pk")
    mined(run, {seed: raws[i % len(raws)] for i, seed in enumerate(seeds)})
    return run


def shown_of(run: Run) -> Shown:
    shown = ceiling_page(run.project, {"stage": str(stage_of(run, "mine").pk)}).shown
    assert shown is not None
    return shown


@pytest.fixture
def gaps(project: Project, people: dict[str, User]) -> Run:
    """Originals sampled afresh of which the first has few valid scores, against rewrites of which
    the second has none and the last has few."""
    run = round_of(project, people["researcher"], SAFE_ONLY)
    good = [BOTH] * 8 + [REFUSAL] * 8
    rewritten(run, "fuse", good, [INVALID] * 16, good, good, good, FOUR_VALID)
    one = [BOTH] * 4 + [REFUSAL] * 12
    none = [SAFE_ONLY] * 5
    kept(run, people["researcher"], [BOTH] * 4 + [INVALID] * 12, one, *none[:4])
    return run


def test_before_after_and_change_are_over_the_same_prompts(gaps: Run) -> None:
    found = shown_of(gaps).compared
    assert found is not None and found.m == 8
    for c in found.changes:
        assert c.before.n == c.after.n == c.change.n, c.name
        if c.change.value is not None:
            assert c.before.value is not None and c.after.value is not None
            assert c.change.value == pytest.approx(c.after.value - c.before.value), c.name
    by_name = {c.name: c for c in found.changes}
    rate = by_name["joint_pass_rate"]  # of all but the second, whose rewrite has no valid score
    assert (rate.before.n, rate.before.value, rate.after.value) == (5, 0.2, 0.4)
    assert by_name["volume"].before.n == 3, "three prompts have 8 valid rollouts on both sides"


def test_a_level_has_every_rollout_that_its_own_judge_scored(
    project: Project, people: dict[str, User]
) -> None:
    """However often the judges of other dimensions could not score it."""
    half = (5.0, math.nan, 1.0)
    run = round_of(project, people["researcher"], SAFE_ONLY)
    rewritten(run, "fuse", [BOTH] * 4 + [half] * 4 + [REFUSAL] * 8)
    kept(run, people["researcher"], [BOTH] * 4 + [REFUSAL] * 12)
    before, after = (side.levels[-1] for side in shown_of(run).sides)
    assert (before.n, before.share, before.scored) == (24, 0.25, 24)
    assert (after.n, after.share, after.scored) == (48, 0.5, 24)
    assert before.mean == after.mean == 1.0


def test_curves_before_and_after_are_over_the_same_prompts(researcher: Client, gaps: Run) -> None:
    shown = shown_of(gaps)
    found = shown.compared
    assert found is not None
    for side in (found.before, found.after):
        curves = side.curves
        assert curves.joint_pass_at.m == curves.joint_attainment.m == (1, 2, 4, 8, 16)
        every = (*curves.pass_at, curves.joint_pass_at, curves.joint_attainment)
        assert {curve.prompts for curve in every} == {3} and side.prompts == 5
    assert found.before.curves.joint_pass_at.value[0] == 0.0, "without the first two prompts"
    assert found.after.curves.joint_pass_at.value[0] == 0.5
    plot = before_after_plot(found)
    assert "passes every bar, over 5 prompts: originals, sampled afresh 0.20" in plot.finding
    assert plot.finding.endswith("both over 3 of 5 prompts, those with 16 valid rollouts.")
    assert "n = 3 prompts" in plot.figure["layout"]["xaxis"]["title"]["text"]
    grades = [[(g.m, g.prompts) for g in side.grades] for side in shown.sides]
    assert grades == [[(None, 5), (16, 3)]] * 2
    plot = grades_plot(shown, shown.sides, shown.levels)
    assert plot.figure["data"][0]["x"] == ["all rollouts", "best of 16 (n = 3)"]
    assert "of the best of 16 over 3 of them" in plot.finding
    url = reverse("ceiling", args=[gaps.project.slug])
    text = researcher.get(url, {"stage": shown.stage.pk}).content.decode()
    assert "<td>Pass@m, originals</td>" in text and "<td>Pass@m, rewrites</td>" in text
    api = researcher.get(f"/api/v1/runs/{gaps.pk}/ceiling").json()["compared"]["after"]
    assert api["curves"]["joint_pass_at"]["prompts"] == 3 and api["prompts"] == 5


def test_nothing_is_compared_where_no_prompt_is_judged_on_both_sides(
    project: Project, people: dict[str, User]
) -> None:
    run = round_of(project, people["researcher"], SAFE_ONLY)
    rewritten(run, "fuse", [INVALID] * 16)
    kept(run, people["researcher"], SAFE_ONLY)
    assert shown_of(run).missing == "No prompt of this choice was judged on both sides."


def test_a_curve_ends_where_fewer_than_half_of_the_prompts_have_as_many_scores(
    project: Project, people: dict[str, User]
) -> None:
    half = SAFE_ONLY[8:] + [INVALID] * 8
    run = round_of(project, people["researcher"], SAFE_ONLY, half, half)
    shown = shown_of(run)
    joint = shown.side.curves.joint_pass_at
    assert (joint.m, joint.prompts) == ((1, 2, 4, 8), 6)
    assert [(g.m, g.prompts) for g in shown.side.grades] == [(None, 6), (8, 6)]
    assert shown.small == (
        "Too few prompts have valid rollouts for N = 16."
        " N = 32 and 64 would need more than the 16 rollouts sampled."
    )
    finding = pass_plot(shown, ["a", "b", "c"]).finding
    assert finding.startswith("Pass@m over 6 prompts, from m = 1 to 4")


def test_a_prompt_without_rollouts_is_undecided_in_a_replay(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    run = round_of(project, people["researcher"], [], SAFE_ONLY, SAFE_ONLY)
    mine = stage_of(run, "mine")
    found = replay(mine, MiningRule(min_valid=4))
    stored = list(Verdict.objects.filter(stage=mine).values_list("verdict", flat=True))
    assert found.before == {name: stored.count(name) for name in found.before}
    assert (found.prompts, found.before["undecided"], found.before["single_reward"]) == (6, 2, 4)
    assert (found.after, found.changed, found.outdated) == (found.before, 0, 0)
    other = researcher.get(f"/api/v1/runs/{run.pk}/replay", {"attained_at": 0.1}).json()
    assert (other["prompts"], other["changed"], other["after"]["undecided"]) == (6, 4, 2)


def test_verdicts_that_no_longer_follow_from_the_scores_are_said(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    run = round_of(project, people["researcher"], SAFE_ONLY)
    url = reverse("ceiling", args=[project.slug])
    first = Prompt.objects.filter(prompt_set__name="mixed").order_by("pk")[0]
    Score.objects.filter(rollout__prompt=first).update(raw=None)
    found = replay(stage_of(run, "mine"), MiningRule(min_valid=4))
    assert (found.before["single_reward"], found.after["single_reward"]) == (6, 5)
    assert (found.changed, found.outdated) == (1, 1)
    text = researcher.get(url).content.decode()
    assert "the rule that ran would give 1 prompt another verdict than it did" in text


def test_the_mining_sample_shows_its_ceiling_numbers_without_another_arm(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    mixed = [BOTH] * 2 + [REFUSAL] * 8 + [ANSWER, (3.0, 1.0, 1.0)] * 3
    run = round_of(project, people["researcher"], SAFE_ONLY, mixed, FOUR_VALID)
    numbers = shown_of(run).numbers
    found = {(n.name, n.of): n.mean for n in numbers.numbers}
    assert numbers.m == 8 and found["joint_pass_at", ""].n == 4
    c = 1 - math.comb(14, 8) / math.comb(16, 8)
    assert found["joint_pass_at", ""].value == pytest.approx(c / 2)
    stored = Verdict.objects.filter(stage=stage_of(run, "mine"))
    for name, own in (
        ("volume", [v.ceiling["volume"]["value"] for v in stored]),
        ("reward_variance", [v.ceiling["reward_variance"] for v in stored]),
    ):
        known = [value for value in own if value is not None]
        assert found[name, ""].value == pytest.approx(np.mean(known)), name
        assert found[name, ""].n == len(known)
    helpful = [v.ceiling["spread"][0] for v in stored]
    assert found["spread", "helpful"].value == pytest.approx(np.mean(helpful))
    assert found["spread", "helpful"].low is not None
    text = researcher.get(reverse("ceiling", args=[project.slug])).content.decode()
    assert "attainable volume at 8" in text and "No score was clipped to its scale." in text
    assert "it is never the before of a comparison" in text
    api = researcher.get(f"/api/v1/runs/{run.pk}/ceiling").json()
    assert api["compared"] is None and api["sample"]["numbers"]["m"] == 8
    assert api["sample"]["numbers"]["numbers"][0]["mean"]["value"] == pytest.approx(c / 2)


def test_the_share_of_clipped_scores_is_shown_by_judge(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    beyond = [(6.0, 1.0, 1.0)] * 4 + [REFUSAL] * 10 + [INVALID] * 2
    run = round_of(project, people["researcher"], beyond, SAFE_ONLY)
    clipped = {n.of: n.mean.value for n in shown_of(run).numbers.clipped}
    assert clipped["sandbox-helpful"] == pytest.approx(4 / 14 / 2)
    assert clipped["sandbox-harmless"] == 0.0
    text = researcher.get(reverse("ceiling", args=[project.slug])).content.decode()
    assert "share of scores clipped, sandbox-helpful" in text
    assert "sandbox-harmless" not in text and "No score was clipped" not in text


def test_scores_left_out_are_shown_of_each_side(researcher: Client, gaps: Run) -> None:
    url, asked = reverse("ceiling", args=[gaps.project.slug]), {"stage": stage_of(gaps, "mine").pk}
    text = researcher.get(url, asked).content.decode()
    assert "at every m. Every score asked for was given." in text
    assert (
        "afresh: Without a score: 12 of 96 on helpful. Rewrites (fuse): Without a score: 28" in text
    )
    page = researcher.get(reverse("ceiling-csv", args=[gaps.project.slug]), asked)
    rows = [r for r in csv.DictReader(page.content.decode().splitlines())
            if (r["table"], r["figure"]) == ("without a score", "helpful")]  # fmt: skip
    assert [(r["value"], r["n"]) for r in rows] == [
        ("0.0", "96"),
        ("0.125", "96"),
        (str(28 / 96), "96"),
    ]
    api = researcher.get(f"/api/v1/runs/{gaps.pk}/ceiling").json()["compared"]["after"]
    assert (api["invalid"], api["asked"]) == ([28, 0, 0], [96, 96, 96])


def test_refusals_stand_beside_the_pass_rate_where_somebody_looked(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    run = round_of(project, people["researcher"], SAFE_ONLY)
    rollouts = Rollout.objects.filter(sampling__stage__run=run)
    rollouts.filter(index__lt=12).update(refused=True)
    rollouts.filter(index__gte=12).update(refused=False)
    url = reverse("ceiling", args=[project.slug])
    shown = shown_of(run)
    # The best of 16 by helpful are the two answers, and only refusals decline.
    assert [(g.m, g.refusal_rate) for g in shown.side.grades] == [(None, 0.75), (16, 0.0)]
    text = researcher.get(url).content.decode()
    assert text.count('<td class="num">75 %</td>') == 1
    assert '<td class="num">0 %</td><td class="num">0 %</td><td class="num">6</td>' in text
    api = researcher.get(f"/api/v1/runs/{run.pk}/ceiling").json()["sample"]["refusal_rate"]
    assert (api["value"], api["n"]) == (0.75, 6)
    round_of(project, people["researcher"], SAFE_ONLY, name="newer, where nobody looked")
    assert '<span class="faint">not known</span>' in researcher.get(url).content.decode()


def test_the_api_and_the_page_choose_the_same_dimensions(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    order = ["truthful", "harmless", "helpful"]
    run = round_of(project, people["researcher"], SAFE_ONLY, dimensions=order)
    shown = shown_of(run)
    url = f"/api/v1/runs/{run.pk}/ceiling"
    found = researcher.get(url).json()
    assert (found["bars"], found["line"]) == (shown.bars, shown.line) == ("helpful", "harmless")
    every = shown.side.grades[0]
    assert tuple(found["sample"]["grades"][0]["share"]) == every.share
    found = researcher.get(url, {"bars": "harmless", "line": "truthful"}).json()
    assert (found["bars"], found["line"]) == ("harmless", "truthful")
    assert found["sample"]["grades"][0]["pass_rate"] == 1.0
    odd = researcher.get(url, {"line": "polite"})
    assert odd.status_code == 422 and "no dimension 'polite'" in odd.json()["detail"]


def test_an_arm_scored_by_another_version_of_a_judge_is_passed_over(
    project: Project, people: dict[str, User]
) -> None:
    run = round_of(project, people["researcher"], SAFE_ONLY)
    rewritten(run, "fuse", [BOTH] * 8 + [REFUSAL] * 8)
    first = kept(run, people["researcher"], SAFE_ONLY, name="by another version")
    other = Score.objects.filter(rollout__sampling__stage__run=first)
    other.filter(judge__name="sandbox-helpful").update(judge_version=2)
    assert shown_of(run).missing.startswith("There are no fresh rollouts of the originals.")
    kept(run, people["researcher"], SAFE_ONLY, name="by the same")
    shown = shown_of(run)
    assert shown.baseline is not None and shown.baseline.name == "by the same"
    assert shown.compared is not None and shown.compared.before.curves.joint_pass_at.prompts == 6
    assert shown.compared.pooled == ["by the same", "fused"]
