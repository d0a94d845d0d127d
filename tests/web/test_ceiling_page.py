"""The Ceiling page: thresholds replayed, curves, grades, and rewrites against fresh originals."""

import csv
import io
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment.ceiling_figures import before_after_plot, grades_plot, levels_plot, pass_plot
from alignment.method.mining import MiningRule
from alignment.models import (
    PooledVolume,
    Project,
    Prompt,
    Run,
    Score,
)
from alignment.queries.ceiling_page import ceiling_page
from alignment.queries.replay import replay
from tests.builders import make_run
from tests.web.ceiling_rows import ANSWER, BOTH, REFUSAL, SAFE_ONLY, kept, mined, rewritten
from tests.web.conftest import put, stage_of


@pytest.fixture
def fused(project: Project, people: dict[str, User]) -> Run:
    """A run whose six prompts were all capped by refusals."""
    run = make_run(project, people["researcher"], name="fused")
    seeds = list(Prompt.objects.filter(prompt_set__name="mixed").order_by("pk"))
    mined(run, dict.fromkeys(seeds, SAFE_ONLY))
    return run


@pytest.fixture
def compared(fused: Run, people: dict[str, User]) -> Run:
    """The run with rewrites that reach both dimensions, and the arm `none` beside it."""
    rewritten(fused, "fuse", [BOTH] * 8 + [REFUSAL] * 8)
    kept(fused, people["researcher"], SAFE_ONLY)
    return fused


def test_replaying_the_rule_that_ran_changes_nothing_and_another_does(fused: Run) -> None:
    mine = stage_of(fused, "mine")
    same = replay(mine, MiningRule())
    assert same.changed == 0 and same.mined_before == same.mined_after == 6
    assert same.before["single_reward"] == 6
    other = replay(mine, MiningRule(attained_at=0.1, joint_at_most=0.1))
    assert other.after["conflict"] == other.changed == 6, (
        "helpful counts as attained, never jointly"
    )


def test_the_page_shows_the_replay_of_an_address(researcher: Client, fused: Run) -> None:
    url = reverse("ceiling", args=[fused.project.slug])
    text = researcher.get(url).content.decode()
    assert "These thresholds give every prompt the verdict that it has." in text
    text = researcher.get(url, {"attained_at": "0.1"}).content.decode()
    assert "6 of 6 prompts would have another verdict." in text


def test_an_empty_number_of_valid_rollouts_is_half_of_n_whatever_was_run(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    run = make_run(project, people["researcher"], mine={"min_valid": 7})
    seeds = list(Prompt.objects.filter(prompt_set__name="mixed"))
    mined(run, {seed: [REFUSAL] * (5 if i else 8) for i, seed in enumerate(seeds)})
    found = ceiling_page(project, {}).shown
    assert found is not None and found.replay is not None
    assert (found.rule["min_valid"], found.replay.after["undecided"]) == (7, 5)
    url = reverse("ceiling", args=[project.slug])
    for _ in range(2):
        page = researcher.get(url, {"min_valid": ""}).context["page"]
        assert (page.shown.rule["min_valid"], page.shown.replay.after["undecided"]) == (None, 0)
        url = f"{reverse('ceiling', args=[project.slug])}?{page.address}"
    text = researcher.get(url).content.decode()
    assert 'name="min_valid" inputmode="numeric" value=""' in text
    replayed = f"/api/v1/runs/{run.pk}/replay"
    assert researcher.get(replayed).json()["after"]["undecided"] == 5
    asked = {"min_valid": "half"}
    assert researcher.get(replayed, asked).json()["after"]["undecided"] == 0


def test_a_spread_that_is_asked_for_is_that_of_every_judge(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    """Also where it is what the run had for the dimensions without a noise of their own."""
    flat = {"rule": "flat", "min_valid": 4, "noise": {"helpful": 0.9}}
    run = make_run(project, people["researcher"], mine=flat)
    seeds = list(Prompt.objects.filter(prompt_set__name="mixed"))
    mined(run, {seed: [REFUSAL] * 4 + [ANSWER] * 4 for seed in seeds})
    address = f"/api/v1/runs/{run.pk}/replay"
    as_run = researcher.get(address).json()["after"]
    asked, below = (
        researcher.get(address, {"spread_above": spread}).json()["after"]
        for spread in (0.05, 0.0499)
    )
    assert asked == below != as_run


@pytest.mark.parametrize("values", [{"spread_above": "10"}, {"min_valid": "1025"}])
def test_the_page_refuses_the_thresholds_that_the_api_refuses(
    researcher: Client, fused: Run, values: dict[str, str]
) -> None:
    refused = researcher.get(f"/api/v1/runs/{fused.pk}/replay", values)
    page = researcher.get(reverse("ceiling", args=[fused.project.slug]), values)
    assert (refused.status_code, page.status_code) == (422, 422)
    told = refused.json()["errors"][0]["message"]
    assert page.context["page"].shown.errors == [f"{next(iter(values))}: {told}"]


@pytest.mark.parametrize("values", [{"attained_at": "many"}, {"joint_at_most": "1.5"},
                                    {"rule": "odd"}])  # fmt: skip
def test_a_threshold_that_cannot_be_is_said(
    researcher: Client, fused: Run, values: dict[str, str]
) -> None:
    page = researcher.get(reverse("ceiling", args=[fused.project.slug]), values)
    assert page.status_code == 422
    assert next(iter(values)) in page.context["page"].shown.errors[0]


def test_grades_of_all_and_of_the_best_of_n_are_told_apart(fused: Run) -> None:
    shown = ceiling_page(fused.project, {}).shown
    assert shown is not None
    every, best = shown.side.grades
    assert (every.m, best.m) == (None, 16)
    assert every.share == (0.875, 0, 0, 0, 0.125) and every.pass_rate == 0.875
    assert best.share == (0, 0, 0, 0, 1.0) and best.pass_rate == 0.0
    assert shown.small == "N = 32 and 64 would need more than the 16 rollouts sampled."
    plot = grades_plot(shown, [shown.side], shown.levels)
    bars = [t for t in plot.figure["data"] if t["type"] == "bar"]
    assert [t["name"] for t in bars] == [f"helpful {i}" for i in range(1, 6)]
    assert bars[0]["x"] == ["all rollouts", "best of 16"]
    (line,) = (t for t in plot.figure["data"] if t["type"] == "scatter")
    assert line["y"] == [0.875, 0.0] and line["name"] == "harmless pass rate"
    assert plot.finding == (
        "Mining sample, 6 prompts: 88 % of all rollouts have helpful 1 and 88 % pass harmless; of"
        " the best of 16, 0 % and 0 %."
    )


def test_pass_curves_are_means_over_the_prompts(fused: Run) -> None:
    shown = ceiling_page(fused.project, {}).shown
    assert shown is not None
    traces = {t["name"]: t for t in pass_plot(shown, ["a", "b", "c"]).figure["data"]}
    assert traces["helpful"]["x"] == [1, 2, 4, 8, 16]
    assert traces["helpful"]["y"][0] == 0.125 and traces["all at once"]["y"][-1] == 0.0


def test_a_curve_is_over_the_same_prompts_at_every_m_and_says_how_many(
    researcher: Client, fused: Run
) -> None:
    first = Prompt.objects.filter(prompt_set__name="mixed").order_by("pk")[0]
    cut = Score.objects.filter(rollout__prompt=first, rollout__index__gte=4)
    cut.filter(judge__name="sandbox-helpful").update(raw=None)  # 4 valid rollouts are left
    address = [fused.project.slug]
    page = researcher.get(reverse("ceiling-csv", args=address))
    rows = list(csv.DictReader(io.StringIO(page.content.decode())))
    n = {(r["figure"], r["at"]): r["n"] for r in rows if r["table"] == "pass at m"}
    assert [n["helpful", m] for m in ("1", "4", "8", "16")] == ["5", "5", "5", "5"]
    assert (n["harmless", "16"], n["all", "8"]) == ("5", "5")
    found = researcher.get(f"/api/v1/runs/{fused.pk}/ceiling").json()["sample"]
    assert found["curves"]["joint_attainment"]["prompts"] == 5 and found["prompts"] == 6
    text = researcher.get(reverse("ceiling", args=address)).content.decode()
    assert "Pass@m over 5 of 6 prompts, those with 16 valid rollouts, from m = 1 to 8" in text
    assert '<td class="num muted">5</td>' in text


def test_nothing_is_compared_without_fresh_rollouts_of_the_originals(
    researcher: Client, fused: Run
) -> None:
    rewritten(fused, "fuse", [BOTH] * 8 + [REFUSAL] * 8)
    text = researcher.get(reverse("ceiling", args=[fused.project.slug])).content.decode()
    assert "There are no fresh rollouts of the originals." in text


def test_rewrites_are_compared_with_fresh_originals(researcher: Client, compared: Run) -> None:
    mine = stage_of(compared, "mine").pk
    shown = ceiling_page(compared.project, {"stage": str(mine)}).shown
    assert shown is not None and shown.compared is not None
    found = {c.name: c for c in shown.compared.changes}
    assert (shown.compared.prompts, shown.compared.m) == (6, 8)
    rate = found["joint_pass_rate"]
    assert (rate.before.value, rate.after.value, rate.change.value) == (0.0, 0.5, 0.5)
    # Both bars are passed by half of the rewrites' rollouts, so some of 8 of 16 nearly always do.
    assert found["volume"].before.value == 0.0 and found["volume"].after.value == pytest.approx(
        1.0, abs=0.01
    )
    assert found["coverage"].after.value == found["volume"].after.value
    # Five tests of six prompts that all rise: 2 of 64 sign flips reach it, times 5 by Holm.
    p = {c.name: c.corrected_p for c in shown.compared.changes}
    assert p["coverage"] == p["volume"] == pytest.approx(5 * 2 / 64, abs=0.02)
    plot = before_after_plot(shown.compared)
    assert "originals, sampled afresh 0.00, rewrites (fuse) 0.50" in plot.finding
    boxes = [t for t in levels_plot(shown, shown.compared).figure["data"] if t["type"] == "box"]
    assert boxes[0]["x"] == ["1", "5"] and boxes[0]["median"] == [1.0, 0.5]
    assert boxes[1]["median"] == [1.0, 1.0]
    page = researcher.get(reverse("ceiling", args=[compared.project.slug]), {"stage": mine})
    assert "fresh rollouts of the originals by" in page.content.decode()


@pytest.fixture
def together(fused: Run, people: dict[str, User]) -> tuple[Run, Run]:
    """Two arms that started before either could reuse what the other has: each mined the same in
    a stage of its own."""
    rewritten(fused, "fuse", [BOTH] * 8 + [REFUSAL] * 8)
    none = make_run(fused.project, people["researcher"], name="kept", rewrite={"strategy": "none"})
    seeds = Prompt.objects.filter(prompt_set__name="mixed", parent=None)
    mined(none, dict.fromkeys(seeds, SAFE_ONLY))
    rewritten(none, "none", SAFE_ONLY)
    return fused, none


def test_runs_started_together_are_arms_of_the_same_mining(together: tuple[Run, Run]) -> None:
    fused, none = together
    shown = ceiling_page(fused.project, {"stage": str(stage_of(fused, "mine").pk)}).shown
    assert shown is not None and shown.compared is not None
    assert shown.compared.pooled == ["fused", "kept"]
    assert {c.name: c.after.value for c in shown.compared.changes}["joint_pass_rate"] == 0.5
    put(stage_of(none, "mine"), fingerprint="other thresholds")
    shown = ceiling_page(fused.project, {"stage": str(stage_of(fused, "mine").pk)}).shown
    assert shown is not None and shown.compared is None


def test_runs_started_together_have_one_frozen_volume(
    researcher: Client, together: tuple[Run, Run]
) -> None:
    fused, none = together
    for run in (none, fused):
        url = reverse("freeze-volume", args=[run.project.slug, stage_of(run, "mine").pk])
        text = researcher.post(url, follow=True).content.decode()
        assert ("frozen already" in text) == (run is fused)
    pooled = PooledVolume.objects.get()
    assert pooled.mine == stage_of(fused, "mine"), "the oldest stands for all"
    shown = ceiling_page(fused.project, {"stage": str(stage_of(fused, "mine").pk)}).shown
    assert shown is not None and shown.compared is not None and shown.compared.frozen


def test_the_arm_that_keeps_originals_says_what_it_is_for(compared: Run) -> None:
    shown = ceiling_page(compared.project, {}).shown
    assert shown is not None and shown.stage.run.name == "kept"
    assert shown.missing.startswith("This run keeps the original prompts")


def test_the_csv_has_every_figure(researcher: Client, compared: Run) -> None:
    mine = stage_of(compared, "mine").pk
    page = researcher.get(reverse("ceiling-csv", args=[compared.project.slug]), {"stage": mine})
    rows = list(csv.DictReader(io.StringIO(page.content.decode())))
    assert {r["table"] for r in rows} == {
        "verdicts", "mining numbers", "ceiling", "pass at m", "best of m, least dimension",
        "grades", "levels", "refusals", "without a score", "pooled volume",
    }  # fmt: skip
    found = next(r for r in rows if (r["of"], r["figure"]) == ("change", "joint_pass_rate"))
    assert (found["value"], found["n"]) == ("0.5", "6")
    assert (found["low"], found["high"]) == ("0.5", "0.5") and 0 < float(found["corrected_p"]) <= 1
    pooled = next(r for r in rows if r["table"] == "pooled volume")
    assert [pooled[c] for c in ("of", "at", "value", "n")] == [
        "fused, kept",
        "not frozen",
        "1.0",
        "2",
    ]
    before = next(r for r in rows if (r["of"], r["figure"]) == ("before", "joint_pass_rate"))
    assert float(before["low"]) <= float(before["value"]) and before["corrected_p"] == ""


def test_the_csv_says_whether_the_pooled_volume_is_frozen(
    researcher: Client, compared: Run
) -> None:
    address, mine = [compared.project.slug], stage_of(compared, "mine").pk
    researcher.post(reverse("freeze-volume", args=[*address, mine]))
    PooledVolume.objects.update(arms=["=1+1", "kept"])
    page = researcher.get(reverse("ceiling-csv", args=address), {"stage": mine})
    (pooled,) = (r for r in csv.DictReader(io.StringIO(page.content.decode()))
                 if r["table"] == "pooled volume")  # fmt: skip
    assert pooled["at"].startswith("frozen on ") and pooled["of"] == "'=1+1, kept"


def test_the_csv_of_a_wrong_address_is_refused(researcher: Client, fused: Run) -> None:
    url = reverse("ceiling-csv", args=[fused.project.slug])
    wrong = researcher.get(url, {"attained_at": "7"})
    assert wrong.status_code == 422
    assert wrong.content.decode() == "attained_at: Input should be less than or equal to 1"
    assert researcher.get(url, {"stage": "999999"}).status_code == 404
    assert researcher.get(url, {"stage": ""}).status_code == 200


def test_one_prompt_is_no_prompts(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    Prompt.objects.filter(pk__in=Prompt.objects.filter(prompt_set__name="mixed")[1:]).delete()
    run = make_run(project, people["researcher"])
    mined(run, {Prompt.objects.get(prompt_set__name="mixed"): SAFE_ONLY})
    rewritten(run, "fuse", [BOTH] * 16)
    kept(run, people["researcher"], SAFE_ONLY)
    asked = {"stage": stage_of(run, "mine").pk, "attained_at": "0.1"}
    text = researcher.get(reverse("ceiling", args=[project.slug]), asked).content.decode()
    assert "1 of 1 prompt would have" in text and "1 prompt; before is" in text
    assert "1 prompts" not in text


def test_a_project_without_mining_says_how_it_comes(
    sign_in: Callable[[str], Client], project: Project
) -> None:
    text = sign_in("viewer").get(reverse("ceiling", args=[project.slug])).content.decode()
    assert "Nothing mined yet" in text


def test_the_api_gives_the_same_figures(researcher: Client, compared: Run, run: Run) -> None:
    url = f"/api/v1/runs/{compared.pk}"
    found = researcher.get(f"{url}/replay", {"attained_at": 0.1}).json()
    assert (found["changed"], found["after"]["conflict"]) == (6, 6)
    found = researcher.get(f"{url}/ceiling").json()
    assert found["sample"]["grades"][0]["share"] == [0.875, 0, 0, 0, 0.125]
    rate = next(c for c in found["compared"]["changes"] if c["name"] == "joint_pass_rate")
    assert rate["change"]["value"] == 0.5
    assert researcher.get(f"{url}/replay", {"joint_at_most": 2}).status_code == 422
    assert researcher.get(f"/api/v1/runs/{run.pk}/ceiling").status_code == 404


def test_a_frozen_pooled_volume_stays_when_another_arm_finishes(
    researcher: Client, compared: Run, people: dict[str, User]
) -> None:
    mine = stage_of(compared, "mine")
    url = reverse("ceiling", args=[compared.project.slug])
    text = researcher.get(url, {"stage": mine.pk}).content.decode()
    assert "until it is frozen" in text
    researcher.post(reverse("freeze-volume", args=[compared.project.slug, mine.pk]))
    pooled = mine.pooled
    assert pooled.arms == ["fused", "kept"] and pooled.volume == 1.0
    pooled.volume = 2.0
    pooled.save()
    shown = ceiling_page(compared.project, {"stage": str(mine.pk)}).shown
    assert shown is not None and shown.compared is not None and shown.compared.frozen
    coverage = next(c for c in shown.compared.changes if c.name == "coverage")
    assert coverage.after.value == pytest.approx(0.5, abs=0.01)
    again = researcher.post(
        reverse("freeze-volume", args=[compared.project.slug, mine.pk]), follow=True
    )
    assert "frozen already" in again.content.decode()


def test_a_viewer_freezes_nothing(sign_in: Callable[[str], Client], compared: Run) -> None:
    url = reverse("freeze-volume", args=[compared.project.slug, stage_of(compared, "mine").pk])
    assert sign_in("viewer").post(url).status_code == 403
