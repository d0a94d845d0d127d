"""The Pareto page: its points, its front, its words, its table and its CSV."""

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from alignment.models import Project, Score
from alignment.pareto_figure import pareto_plot
from alignment.queries.results_page import ResultsPage, results_page, version
from tests.builders import make_run
from tests.web.compare_runs import KEEN, SAFE, answer_only, ask, evaluated, held_out
from tests.web.conftest import add_evaluation, stage_of


def scores(helpful: list[float], harmless: list[float]) -> dict[str, list[float]]:
    return {"helpful": helpful, "harmless": harmless, "truthful": [0.5] * 4}


@pytest.fixture
def three(project: Project) -> Project:
    """Mean rewards (helpful, harmless): safe (0.25, 1), keen (0.75, 0.5), poor (0, 0.5)."""
    add_evaluation(project, "safe", scores([2, 2, 2, 2], [1, 1, 1, 1]))
    add_evaluation(project, "keen", scores([4, 4, 4, 4], [1, 0, 1, 0]))
    add_evaluation(project, "poor", scores([1, 1, 1, 1], [0, 1, 0, 1]))
    return project


def page(project: Project, query: str = "") -> ResultsPage:
    return results_page(project, QueryDict(query).dict())


def traces(project: Project, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pareto_plot(page(project, query)).figure["data"]
    return found


def test_points_stand_at_their_mean_rewards_with_their_intervals(three: Project) -> None:
    marks = [t for t in traces(three) if t["mode"] == "markers+text"]
    assert [t["text"] for t in marks] == [["safe"], ["keen"], ["poor"]]
    assert [t["x"] for t in marks] == [[0.25], [0.75], [0.0]]
    assert [t["y"] for t in marks] == [[1.0], [0.5], [0.5]]
    assert [t["error_x"]["array"] for t in marks] == [[0.0]] * 3
    assert marks[0]["error_y"]["array"] == [0.0]
    assert marks[1]["error_y"]["array"][0] > 0.0
    assert len({t["marker"]["color"] for t in marks}) == 3


def test_the_front_is_the_staircase_of_what_nothing_dominates(three: Project) -> None:
    line = next(t for t in traces(three) if t.get("name") == "front")
    assert list(zip(line["x"], line["y"], strict=True)) == [
        (0.0, 1.0),
        (0.25, 1.0),
        (0.25, 0.5),
        (0.75, 0.5),
        (0.75, 0.0),
    ]


def test_the_text_alternative_says_what_the_plot_shows(three: Project) -> None:
    assert pareto_plot(page(three)).finding == (
        "2 of 3 policies are on the front: keen, at 0.75 helpful and 0.50 harmless, is best on"
        " helpful; safe, at 0.25 helpful and 1.00 harmless, is best on harmless."
        " Differences within the 95 % bars may be chance."
    )


def test_the_text_alternative_of_one_policy_and_of_one_best(project: Project) -> None:
    add_evaluation(project, "start", scores([2, 2, 2, 2], [1, 1, 0, 0]))
    assert pareto_plot(page(project)).finding == (
        "One policy so far: start, at 0.25 helpful and 0.50 harmless."
    )
    add_evaluation(project, "after", scores([3, 3, 3, 3], [1, 1, 1, 1]))
    assert pareto_plot(page(project)).finding == (
        "after, at 0.50 helpful and 1.00 harmless, dominates start."
        " Differences within the 95 % bars may be chance."
    )


def test_the_axes_are_the_dimensions_asked_for(three: Project) -> None:
    shown = page(three, "x=truthful&y=helpful")
    assert (shown.x, shown.y) == ("truthful", "helpful")
    layout = pareto_plot(shown).figure["layout"]
    assert layout["xaxis"]["title"]["text"] == "truthful, mean reward (0 to 1)"


@pytest.mark.parametrize("query", ["x=gone&y=gone", "x=helpful&y=helpful", "on=9-9", ""])
def test_axes_that_cannot_be_are_chosen_anew(three: Project, query: str) -> None:
    shown = page(three, query)
    assert (shown.x, shown.y) == ("helpful", "harmless")


def test_other_judges_are_another_comparison(three: Project) -> None:
    judges = three.judges.filter(use="pairing")
    other = add_evaluation(three, "other", scores([5, 5, 5, 5], [1, 1, 1, 1]))
    other.judges.set(judges)
    for score in (s for r in other.sampling.rollouts.all() for s in r.scores.all()):
        score.judge = judges.get(dimension=score.judge.dimension)
        score.save()
    shown = page(three)
    assert [len(c.points) for c in shown.comparisons] == [1, 3]
    assert shown.shown is not None and shown.shown.points[0].row.name == "other"
    again = page(three, f"on={shown.comparisons[1].key}")
    assert again.shown is not None and len(again.shown.points) == 3


def test_another_version_of_a_judge_is_another_comparison_and_named(
    researcher: Client, three: Project
) -> None:
    three.judges.filter(name="sandbox-helpful-eval").update(version=2)
    add_evaluation(three, "later", scores([5, 5, 5, 5], [1, 1, 1, 1]))
    newest, older = page(three).comparisons
    assert [p.row.name for p in newest.points] == ["later"] and len(older.points) == 3
    assert "sandbox-helpful-eval (version 2)" in newest.judges
    assert "sandbox-helpful-eval (version 1)" in older.judges and newest.key != older.key
    text = researcher.get(reverse("results", args=[three.slug]), {"on": older.key}).content.decode()
    assert "by another version of one" in text and "3 policies on" in text


def test_other_prompts_of_one_set_are_another_comparison_and_counted(
    researcher: Client, three: Project
) -> None:
    fewer = add_evaluation(three, "fewer", scores([5, 5, 5, 5], [1, 1, 1, 1]))
    answer_only(fewer, held_out()[:2])
    newest, older = page(three).comparisons
    assert [p.row.name for p in newest.points] == ["fewer"] and len(older.points) == 3
    assert (newest.prompts, older.prompts) == (2, 4) and newest.key != older.key
    text = researcher.get(reverse("results", args=[three.slug])).content.decode()
    assert "held-out, 2 prompts</span>" in text and "held-out, 4 prompts, by" in text


def test_rounds_of_a_run_are_joined_and_lead_to_its_page(
    project: Project, people: dict[str, User]
) -> None:
    run = make_run(project, people["owner"])
    for number, name in ((1, "run: after round 1"), (0, "run: start")):
        stage = stage_of(run, "evaluate", number)
        type(stage).objects.filter(pk=stage.pk).update(status="succeeded")
        raw = scores([2 + number] * 4, [1, 1, 1, number])
        evaluation = add_evaluation(project, name, raw)
        evaluation.stage = stage
        evaluation.save()
    path = next(t for t in traces(project) if t["mode"] == "lines" and t.get("name") != "front")
    assert path["x"] == [0.25, 0.5], "from the start on, whatever was evaluated first"
    marks = next(t for t in traces(project) if t["mode"] == "markers+text")
    assert marks["text"] == ["after round 1", "start"], "all are of one run"
    assert marks["hovertext"] == ["run: after round 1", "run: start"]
    assert marks["customdata"] == [reverse("run", args=[project.slug, run.pk])] * 2
    assert len(set(marks["marker"]["symbol"])) == 2


def test_the_start_policy_of_several_runs_is_one_point_on_the_paths_of_all(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    for seed, raw in ((1, KEEN), (2, SAFE)):
        run = make_run(project, people["owner"], name=f"run {seed}", seed=seed)
        evaluated(run, 0, raw, tokens=5)
        evaluated(run, 1, scores([3 + seed] * 4, [1] * 4), tokens=5)
    found = traces(project)
    marks = [t for t in found if t["mode"] == "markers+text"]
    assert [t["hovertext"] for t in marks] == [["start"], ["run 1: 1"], ["run 2: 1"]]
    assert [t["customdata"][0] is None for t in marks] == [True, False, False]
    paths = [t for t in found if t["mode"] == "lines" and t.get("name") != "front"]
    start = (0.625 + 0.25) / 2
    assert [t["x"] for t in paths] == [[start, 0.75], [start, 1.0]]
    assert [t["line"]["color"] for t in paths] == [t["marker"]["color"] for t in marks[1:]]
    shown = page(project)
    assert shown.shown is not None and shown.shown.evaluations[0].label == "run 1: 0"
    assert pareto_plot(shown).finding.endswith("dominates the other 2. Differences within the 95 %"
                                               " bars may be chance.")  # fmt: skip
    text = researcher.get(reverse("results", args=[project.slug])).content.decode()
    assert "3 policies, evaluated 4 times, on" in text and "2 evaluations by" in text
    csv_page = researcher.get(reverse("results-csv", args=[project.slug])).content.decode()
    rows = [r for r in csv.DictReader(io.StringIO(csv_page)) if r["dimension"] == "helpful"]
    assert [(r["policy"], r["rollouts"], r["evaluations"]) for r in rows] == [
        ("start", "8", "2"), ("run 1: 1", "4", "1"), ("run 2: 1", "4", "1"),
    ]  # fmt: skip


def test_the_share_of_scores_left_out_is_shown_by_policy_and_dimension(
    researcher: Client, three: Project
) -> None:
    lost = Score.objects.filter(rollout__sampling__policy__name="keen")
    lost = lost.filter(judge__dimension__name="harmless", rollout__prompt=held_out()[0])
    lost.update(raw=None)
    text = researcher.get(reverse("results", args=[three.slug])).content.decode()
    assert text.count("without a score") == text.count("1 of 4 without a score</small>") == 1


def test_refusals_stand_beside_the_pass_rate_of_a_dimension_with_prompts_of_its_own(
    researcher: Client, three: Project
) -> None:
    apart = add_evaluation(three, "apart", scores([2] * 4, [1] * 4))
    own = apart.sampling.rollouts.filter(prompt__in=held_out()[2:])
    apart.sampling.rollouts.update(refused=False)
    own.update(refused=True)
    Score.objects.filter(rollout__in=own).exclude(judge__dimension__name="harmless").delete()
    others = apart.sampling.rollouts.exclude(pk__in=own)
    Score.objects.filter(rollout__in=others, judge__dimension__name="harmless").delete()
    address = [three.slug]
    text = researcher.get(reverse("results", args=address)).content.decode()
    row = text[text.index(f'id="evaluation-{apart.pk}"') :]
    assert [row.count(f">refuses {share} %</small>") for share in (100, 0, 50)] == [1, 2, 0]
    assert ">by dimension</span>" in row and "50 %" not in row
    csv_page = researcher.get(reverse("results-csv", args=address)).content.decode()
    rows = {r["dimension"]: r for r in csv.DictReader(io.StringIO(csv_page))
            if r["policy"] == "apart"}  # fmt: skip
    assert [r["refusal_rate"] for r in rows.values()] == ["0.0", "1.0", "0.0"]
    found = researcher.get(f"/api/v1/projects/{three.slug}/pareto").json()["points"][-1]
    assert (found["refusal_rate"], found["rewards"]["harmless"]["refusal_rate"]) == (None, 1.0)


def test_a_contribution_too_small_for_three_digits_is_not_told_as_none(
    researcher: Client, project: Project
) -> None:
    add_evaluation(project, "safe", scores([2, 2, 2, 2], [1, 1, 1, 1]))
    add_evaluation(project, "a hair", scores([2, 2, 2, 2.001], [1, 1, 1, 0.9999]))
    text = researcher.get(reverse("results", args=[project.slug])).content.decode()
    assert "adds less than 0.001</span>" in text and "adds 0.000" not in text


def test_an_evaluation_that_is_not_finished_is_no_point(
    project: Project, people: dict[str, User]
) -> None:
    before = version(project)
    run = make_run(project, people["owner"])
    evaluation = add_evaluation(project, "half", scores([2] * 4, [1] * 4))
    assert version(project) != before
    evaluation.stage = stage_of(run, "evaluate")
    evaluation.save()
    assert version(project) == before
    assert page(project).shown is None


def test_the_page_has_its_plot_table_and_notice(researcher: Client, three: Project) -> None:
    three.description = "A made-up world."
    three.save()
    text = researcher.get(reverse("results", args=[three.slug])).content.decode()
    assert 'id="pareto-figure" type="application/json"' in text
    assert 'role="img" aria-label="2 of 3 policies' in text
    assert "A made-up world." in text
    assert "dominated" in text and "on it" in text
    assert "adds 0.125" in text and "adds 0.000" not in text


def test_a_policy_that_left_most_prompts_unanswered_stands_hollow_and_apart(
    researcher: Client, three: Project, people: dict[str, User]
) -> None:
    best = scores([5, 5, 5, 5], [1, 1, 1, 1])
    silent = evaluated(make_run(three, people["researcher"], name="silent"), 1, best, 10)
    ask(silent, held_out())
    answer_only(silent, held_out()[:1])
    (front, *_) = traces(three)
    assert max(front["x"]) == 0.75, "the best is not on it"
    assert symbols(three)["silent: 1"] == "square-open" and symbols(three)["safe"] == "circle"
    told = pareto_plot(page(three)).finding
    assert told.startswith("2 of 3 policies are on the front")
    assert told.endswith("Hollow, for fewer than half of the prompts were answered: silent: 1.")
    text = researcher.get(reverse("results", args=[three.slug])).content.decode()
    assert ">apart</span>" in text and "1 of 4 prompts" in text


def test_the_front_is_on_the_prompts_that_all_answered(
    researcher: Client, three: Project, people: dict[str, User]
) -> None:
    """On the last two prompts, where keen is not safe, it would be best."""
    run = make_run(three, people["researcher"], name="part")
    part = evaluated(run, 1, scores([4, 4, 4, 4], [1, 0, 0, 0]), 10)
    ask(part, held_out())
    answer_only(part, held_out()[:2])
    front = traces(three)[0]
    assert symbols(three)["part: 1"] == "square"
    assert max(front["y"]) == 1.0 and (0.75, 0.5) in zip(front["x"], front["y"], strict=True)
    told = pareto_plot(page(three)).finding
    assert told.startswith("3 of 4 policies are on the front")
    assert told.endswith("The front is on the 2 prompts that all of these answered.")
    text = researcher.get(reverse("results", args=[three.slug])).content.decode()
    assert "2 of 4 prompts" in text and ">apart</span>" not in text


def symbols(project: Project) -> dict[str, str]:
    """By policy the symbol of its mark."""
    markers = [t for t in traces(project) if t["mode"] == "markers+text"]
    return {
        name: symbol
        for t in markers
        for name, symbol in zip(t["hovertext"], t["marker"]["symbol"], strict=True)
    }


def test_an_empty_page_says_how_points_come(researcher: Client, project: Project) -> None:
    text = researcher.get(reverse("results", args=[project.slug])).content.decode()
    assert "No evaluation yet" in text


def test_the_csv_has_a_line_for_each_policy_and_dimension(
    researcher: Client, three: Project
) -> None:
    page = researcher.get(reverse("results-csv", args=[three.slug]))
    rows = list(csv.DictReader(io.StringIO(page.content.decode())))
    assert len(rows) == 3 * 3
    keen = next(r for r in rows if (r["policy"], r["dimension"]) == ("keen", "helpful"))
    assert (keen["mean"], keen["mean_low"], keen["n"]) == ("0.75", "0.75", "4")
    assert keen["rollouts"] == "4"
    row = next(p.row for p in results_page(three, {}).shown.points if p.row.name == "keen")  # type: ignore[union-attr]
    assert keen["joint_pass_rate"] == str(row.joint_pass_rate)
    ends = (keen["joint_pass_rate_low"], keen["joint_pass_rate_high"])
    assert ends == tuple(map(str, row.joint_pass_rate_ci or ()))
    assert (keen["refusal_rate"], keen["refusal_rate_low"]) == ("", "")
    assert float(keen["contribution"]) == pytest.approx((0.75 - 0.25) * 0.5 * 0.5)


@pytest.fixture
def one(three: Project) -> Project:
    """Beside them and newer, two policies that have scores on helpful alone."""
    for name, helpful in (("curt", 3.0), ("kind", 4.0)):
        made = add_evaluation(three, name, scores([helpful] * 4, [1.0] * 4))
        made.judges.set(made.judges.filter(dimension__name="helpful"))
    return three


def test_one_dimension_is_told_in_words_and_never_drawn_against_itself(
    researcher: Client, one: Project
) -> None:
    newest = page(one).comparisons[0]
    assert newest.dimensions == ["helpful"]
    shown = page(one, f"on={newest.key}")
    plot = pareto_plot(shown)
    assert plot.figure == {} and plot.finding == (
        "Scores are on helpful alone, so there is no front to draw: kind is best, at 0.75."
        " Differences within the 95 % intervals may be chance."
    )
    text = researcher.get(reverse("results", args=[one.slug]), {"on": newest.key}).content.decode()
    assert "kind is best" in text and 'id="pareto-figure"' not in text and 'name="x"' not in text
    assert "the front is over one dimension" in text and 'id="policies"' in text


def test_what_has_a_front_to_draw_is_shown_first(one: Project) -> None:
    shown = page(one).shown
    assert shown is not None and [p.row.name for p in shown.points] == ["safe", "keen", "poor"]
    one.evaluations.filter(label__in=("safe", "keen", "poor")).delete()
    left = page(one).shown
    assert left is not None and len(left.points) == 2


def test_a_dimension_on_which_nobody_has_a_score_is_no_axis(three: Project) -> None:
    Score.objects.filter(judge__dimension__name__in=("helpful", "harmless")).update(raw=None)
    shown = page(three)
    assert (shown.x, shown.y) == ("truthful", "truthful")
    assert pareto_plot(shown).finding.startswith("Scores are on truthful alone")
    Score.objects.update(raw=None)
    assert pareto_plot(page(three)).finding == "No policy has a score."
