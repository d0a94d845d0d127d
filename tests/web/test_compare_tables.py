"""What stands beside the arms on the Compare page, in its CSV and in the API: each seed, tax,
targets, sweep, and the n of every figure."""

import csv
import io
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment.method.resampling import Estimate
from alignment.models import Project, Score
from alignment.queries.compare_page import ComparePage, compare_page
from alignment.queries.comparing import Comparison, Difference
from alignment.templatetags import ceilings, console
from alignment.templatetags.compare import differences_plot, seed_rows, seeds_plot
from tests.builders import make_run
from tests.web.compare_runs import KEEN, SAFE, answer_only, ask, evaluated, held_out
from tests.web.conftest import add_evaluation, put, stage_of

LOOSE = {"consistent": False}


def rows(client: Client, project: Project, **asked: str) -> list[dict[str, str]]:
    answer = client.get(reverse("compare-csv", args=[project.slug]), asked)
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def page_text(client: Client, project: Project, **asked: str) -> str:
    text = client.get(reverse("compare", args=[project.slug]), asked).content.decode()
    return re.sub(r"\s+", " ", text)


def api(client: Client, project: Project, **asked: Any) -> Any:
    return client.get(f"/api/v1/projects/{project.slug}/compare", asked).json()


@pytest.fixture
def seeded(project: Project, people: dict[str, User]) -> Project:
    """The arms `safe` and `keen` of two seeds, of which the second is less helpful."""
    for name, raw, pair in (("safe", SAFE, {}), ("keen", KEEN, LOOSE)):
        for seed in (3, 5):
            run = make_run(
                project, people["researcher"], name=f"{name} seed {seed}", seed=seed, pair=pair
            )
            evaluated(run, 1, {**raw, "helpful": [1.0] * 4} if seed == 5 else raw, 10)
    return project


def test_each_seed_is_shown(researcher: Client, seeded: Project) -> None:
    page = compare_page(seeded, {"base": "safe"})
    assert dict(seed_rows(page))["keen"] == [
        (3, [0.625, 0.5, 1.0, 0.3125]),
        (5, [0.0, 0.5, 1.0, 0.0]),
    ]
    dots = seeds_plot(page).figure["data"][0]
    assert (dots["x"], dots["y"]) == ([0.625, 0.0, 0.25, 0.0], ["keen", "keen", "safe", "safe"])
    assert dots["text"] == ["seed 3", "seed 5"] * 2
    text = page_text(researcher, seeded, base="safe")
    assert 'id="seeds-figure"' in text and "95 % intervals over seeds and prompts" in text
    found = [r for r in rows(researcher, seeded, base="safe") if r["table"] == "seeds"]
    assert len(found) == 2 * 2 * 4
    assert {r["seed"]: r["value"] for r in found if r["figure"] == "helpful reward"
            and r["arm"] == "keen"} == {"3": "0.625", "5": "0.0"}  # fmt: skip
    assert api(researcher, seeded, base="safe")["seeds"] == [3, 5]


def test_differences_are_drawn_with_their_intervals(researcher: Client, seeded: Project) -> None:
    found = compare_page(seeded, {"base": "safe"}).comparison
    assert found is not None
    plot = differences_plot(found)
    helpful, harmless, _, volume = plot.figure["data"]
    plain = {d.figure: d.plain for d in found.differences}
    for trace, figure in ((helpful, "helpful"), (harmless, "harmless"), (volume, "hypervolume")):
        own = plain[figure]
        assert (trace["y"], trace["x"]) == (["keen"], [own.value])
        assert own.value is not None and own.low is not None and own.high is not None
        above, below = trace["error_x"]["array"][0], trace["error_x"]["arrayminus"][0]
        assert (own.value + above, own.value - below) == pytest.approx((own.high, own.low))
    assert 'id="differences-figure"' in page_text(researcher, seeded, base="safe")


def test_a_difference_beyond_chance_is_filled_and_told() -> None:
    def difference(figure: str, value: float, corrected: float | None) -> Difference:
        plain = Estimate(value=value, low=value - 0.1, high=value + 0.1, n=40, parents=40)
        return Difference(
            arm="keen", figure=figure, plain=plain, p=0.0, corrected=corrected, at_equal_length=None
        )

    found = Comparison(
        dimensions=["helpful", "harmless"],
        base="safe",
        reference=None,
        prompts=40,
        tests=2,
        arms=[],
        differences=[
            difference("helpful", 0.3, 0.049),
            difference("harmless", -0.2, 0.05),
            difference("hypervolume", -0.101, None),
        ],
    )
    plot = differences_plot(found)
    drawn = [trace["marker"]["color"][0] for trace in plot.figure["data"]]
    assert [colour != "var(--surface)" for colour in drawn] == [True, False, True]
    assert plot.finding == "Beyond chance, to safe: keen helpful +0.30; keen hypervolume -0.10."


def test_intervals_of_one_seed_are_over_prompts(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    evaluated(make_run(project, people["researcher"], name="one"), 1, KEEN, 10)
    text = page_text(researcher, project, base="one")
    assert "95 % intervals over prompts<" in text and 'id="seeds"' not in text


def test_the_tax_is_on_the_prompts_that_the_arms_are_compared_on(
    project: Project, people: dict[str, User]
) -> None:
    by = people["researcher"]
    run = make_run(project, by, name="own")
    gap = evaluated(make_run(project, by, name="gap", pair=LOOSE), 1, SAFE, 10)
    for made in (evaluated(run, 0, SAFE, 10), evaluated(run, 1, KEEN, 10), gap):
        ask(made, held_out())
    answer_only(gap, held_out()[:3])
    page = compare_page(project, {"base": "own"})
    assert page.comparison is not None and page.comparison.prompts == 3
    means = {a.name: {n: e.value for n, e in a.rewards.items()} for a in page.comparison.arms}
    assert page.tax is not None
    helpful, harmless, _ = page.tax.to_start
    assert helpful == 0.5, "all three prompts that the arms share, without the fourth"
    assert harmless == pytest.approx(means["own"]["harmless"] - means["start"]["harmless"])


def test_tax_targets_and_sweep_are_in_the_csv_and_the_api(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    rounds = [{"prompts": "mixed", "focus": "harmless"}, {"prompts": "mixed", "focus": "helpful"}]
    for share, last in ((1.0, KEEN), (0.5, SAFE)):
        run = make_run(project, people["researcher"], name=f"share {share}", rounds=rounds,
                       train={"pairs_share": share})  # fmt: skip
        for number in (1, 2):
            put(stage_of(run, "pair", number), status="succeeded", facts={"pairs": 10})
        for number, raw in ((0, KEEN), (1, SAFE), (2, last)):
            evaluated(run, number, raw, 10)
    found = api(researcher, project, base="share 1.0", target=["helpful:0.2", "harmless:0.5"])
    assert found["tax"]["rounds"] == ["round 1: harmless", "round 2: helpful"]
    assert found["tax"]["tax"][1] == {"helpful": None, "harmless": -0.5, "truthful": None}
    assert found["tax"]["to_start"] == {"helpful": 0.0, "harmless": 0.0, "truthful": 0.0}
    assert found["sweep"]["pairs"] == [10.0, 20.0]
    assert found["sweep"]["rewards"]["helpful"] == [0.25, 0.625]
    reach = found["feasible"]
    assert reach["targets"] == {"helpful": "0.2", "harmless": "0.5", "truthful": "1.00"}
    assert (reach["source"], reach["feasible"], set(reach["weights"])) == (
        "start",
        True,
        {"helpful", "harmless", "truthful"},
    )
    lines = rows(researcher, project, **{"base": "share 1.0", "target.helpful": "0.2"})
    values = {(r["table"], r["figure"]): r["value"] for r in lines if r["table"] != "sweep"}
    assert values["tax", "harmless, round 2: helpful"] == "-0.5"
    assert values["feasible", "helpful target"] == "0.2" and ("feasible", "to spare") in values
    sweep = [(r["arm"], r["value"]) for r in lines
             if r["table"] == "sweep" and r["figure"] == "helpful reward"]  # fmt: skip
    assert sweep == [("share 0.5, 10 pairs", "0.25"), ("share 1, 20 pairs", "0.625")]


@pytest.mark.parametrize("target", ["helpful", "helpful:much", "helpful:2", "helpful:nan", ":0.5"])
def test_a_target_that_is_none_is_refused(researcher: Client, seeded: Project, target: str) -> None:
    answer = api(researcher, seeded, base="safe", target=[target])
    assert (answer["status"], answer["errors"][0]["path"]) == (422, "target")


def test_a_target_of_no_dimension_is_refused(researcher: Client, seeded: Project) -> None:
    answer = api(researcher, seeded, base="safe", target=["kind:0.5"])
    assert answer["status"] == 422 and "no dimension kind" in answer["errors"][0]["message"]


def unjudged(project: Project, people: dict[str, User], prompts: int) -> ComparePage:
    """The page of a run so many of whose four prompts have no score on harmless."""
    made = evaluated(make_run(project, people["researcher"], name="odd"), 1, KEEN, 10)
    asked = {"judge__dimension__name": "harmless", "rollout__prompt__in": held_out()[:prompts]}
    Score.objects.filter(rollout__sampling=made.sampling, **asked).update(raw=None)
    return compare_page(project, {"base": "odd"})


def test_a_base_without_a_mean_says_of_which_dimension_and_fills_the_others(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    unjudged(project, people, 4)
    evaluated(project.runs.get(name="odd"), 0, SAFE, 10)
    page = compare_page(project, {"base": "odd"})
    assert page.targets is not None and page.targets.without == ["harmless"]
    assert page.targets.values == {"helpful": "0.62", "harmless": "", "truthful": "1.00"}
    text = page_text(researcher, project, base="odd")
    assert "odd has no mean reward on harmless; give a target" in text
    assert 'role="alert"' not in text and 'value="0.62"' in text
    found = api(researcher, project, base="odd")["feasible"]
    assert (found["feasible"], found["without"], found["problem"]) == (None, ["harmless"], "")


def test_no_target_is_asked_for_where_no_rollout_was_judged_on_every_dimension(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    page = unjudged(project, people, 4)
    assert page.targets is not None and not page.targets.can_check
    text = page_text(researcher, project, base="odd")
    assert "No rollout was judged on every dimension" in text
    assert 'role="alert"' not in text and 'name="target.helpful"' not in text
    found = api(researcher, project, base="odd")["feasible"]
    assert found["feasible"] is None and "judged on every dimension" in found["problem"]


def test_a_target_that_nobody_gave_is_reached_by_what_it_is_the_mean_of(
    project: Project, people: dict[str, User]
) -> None:
    """A mean of 2.75 is a reward of 0.4375 and one of 2.7 of 0.425, which would round up."""
    raw = {**SAFE, "helpful": [2.7, 2.7, 2.7, 2.7], "harmless": [1.0, 1, 1, 0]}
    evaluated(make_run(project, people["researcher"], name="run"), 1, raw, 10)
    targets = compare_page(project, {"base": "run"}).targets
    assert targets is not None and targets.found is not None
    assert targets.values == {"helpful": "0.42", "harmless": "0.75", "truthful": "1.00"}
    assert targets.found.feasible


def test_a_figure_over_fewer_prompts_says_over_how_many(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    unjudged(project, people, 1)
    text = page_text(researcher, project, base="odd")
    assert text.count(">n 3</small>") == 3, "harmless, all pass and hypervolume"
    assert 'title="n = 3, of 3 prompts"' in text and 'title="n = 4, of 4 prompts"' in text


def test_scores_left_out_are_counted_beside_the_mean(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    unjudged(project, people, 1)
    assert "1 of 4 without a score" in page_text(researcher, project, base="odd")
    (arm,) = api(researcher, project, base="odd")["comparison"]["arms"]
    assert arm["left_out"] == {"harmless": [1, 4]}
    lines = {r["figure"]: (r["value"], r["n"]) for r in rows(researcher, project, base="odd")}
    assert lines["harmless scores left out"] == ("1", "4")


def test_refusals_are_of_the_prompts_that_a_dimension_is_judged_on(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    """Harmless is judged on two prompts of its own, where both completions refuse."""
    made = evaluated(make_run(project, people["researcher"], name="apart"), 1, KEEN, 10)
    own, others = held_out()[:2], held_out()[2:]
    scores = Score.objects.filter(rollout__sampling=made.sampling)
    scores.filter(judge__dimension__name="harmless", rollout__prompt__in=others).delete()
    rest = scores.exclude(judge__dimension__name="harmless")
    rest.filter(rollout__prompt__in=own).delete()
    made.sampling.rollouts.filter(prompt__in=own).update(refused=True)
    (arm,) = api(researcher, project, base="apart")["comparison"]["arms"]
    rates = {name: e["value"] for name, e in arm["refusal_rates"].items()}
    assert rates == {"helpful": 0.0, "harmless": 1.0, "truthful": 0.0}
    assert arm["refusal_rate"]["value"] is None
    text = page_text(researcher, project, base="apart")
    assert (
        "refuses 100%" in text.replace("\u00a0", "").replace(" %", "%") and "by dimension" in text
    )


def test_equal_values_have_no_spread_instead_of_an_interval_without_width(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    evaluated(make_run(project, people["researcher"], name="one"), 1, SAFE, 10)
    text = page_text(researcher, project, base="one")
    told = 'title="All 4 prompts are equal; a bootstrap cannot tell the spread.">no spread<'
    assert text.count(told) == 4, "three rewards and the hypervolume; rates are Wilson's"
    assert "1.000 to 1.000" not in text
    results = researcher.get(reverse("results", args=[project.slug])).content.decode()
    assert "All prompts are equal" in results and "1.00 to 1.00" not in results


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert (console.volume(-0.0004), console.volume(-0.0006)) == ("0.000", "-0.001")
    assert (ceilings.signed(-0.0004), ceilings.signed(0.0004)) == ("0.000", "0.000")
    assert (ceilings.signed(-0.25), ceilings.signed(0.25)) == ("-0.250", "+0.250")


def test_lengths_that_no_import_brought_are_not_known_and_no_lengths_that_do_not_vary(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    for name, raw in (("gpt4", SAFE), ("llama2", KEEN)):
        add_evaluation(project, name, raw)
    text = page_text(researcher, project)
    arms = text[text.index('id="arms"') : text.index('id="differences"')]
    assert arms.count(">not known</span></td></tr>") == 2, "in the column of tokens, of each arm"
    assert text.count(">lengths not known</span>") == 3 and ">undefined</span>" not in text
    for name, raw, pair, tokens in (("safe", SAFE, {}, 10), ("keen", KEEN, LOOSE, 20)):
        evaluated(make_run(project, people["researcher"], name=name, pair=pair), 1, raw, tokens)
    text = page_text(researcher, project, base="safe")
    assert "lengths not known<" not in text and text.count(">undefined</span>") == 3
