"""Which arms the Compare page compares: those asked the same prompts, those chosen, and their
names."""

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment.models import Evaluation, Policy, Project, Prompt, Run
from alignment.queries import compare_page as compare_page_module
from alignment.queries.compare_arms import arms_of
from alignment.queries.compare_page import compare_page
from tests.builders import make_run
from tests.web.compare_runs import KEEN, SAFE, answer_only, ask, evaluated, held_out
from tests.web.conftest import add_evaluation, put, stage_of

LOOSE = {"consistent": False}


def evaluate(limit: int | None = None, n: int = 4) -> dict[str, Any]:
    judges = {d: f"sandbox-{d}-eval" for d in ("helpful", "harmless", "truthful")}
    return {"prompts": "held-out", "n": n, "limit": limit, "judges": judges}


@pytest.fixture
def three(project: Project, people: dict[str, User]) -> Project:
    """The arms `safe`, its start and `keen`, asked all four prompts."""
    by = people["researcher"]
    safe = make_run(project, by, name="safe")
    for number in (0, 1):
        ask(evaluated(safe, number, SAFE, 10), held_out())
    ask(evaluated(make_run(project, by, name="keen", pair=LOOSE), 1, KEEN, 20), held_out())
    return project


def names(project: Project, **asked: str) -> list[str]:
    found = compare_page(project, asked).comparison
    assert found is not None
    return [arm.name for arm in found.arms]


def test_a_run_that_was_asked_fewer_prompts_is_apart_and_leaves_the_others_as_they_were(
    three: Project, people: dict[str, User]
) -> None:
    before = compare_page(three, {"base": "safe"}).comparison
    small = make_run(three, people["researcher"], name="small", evaluate=evaluate(limit=2))
    for number in (0, 1):
        made = evaluated(small, number, KEEN, 10)
        ask(made, held_out()[:2])
        answer_only(made, held_out()[:2])
    page = compare_page(three, {"base": "safe"})
    assert page.comparison == before and before is not None and before.prompts == 4
    assert page.apart == ["small", "start (limit 2)"]
    assert names(three, base="small") == ["start (limit 2)", "small"]


def test_a_prompt_that_was_asked_but_not_answered_leaves_arms_comparable(
    three: Project, people: dict[str, User]
) -> None:
    run = make_run(three, people["researcher"], name="gap", pair={"pairs_per_prompt": 2})
    made = evaluated(run, 1, KEEN, 10)
    ask(made, held_out(), cut=3)
    answer_only(made, held_out()[1:])
    page = compare_page(three, {"base": "safe"})
    assert page.comparison is not None and page.comparison.prompts == 3
    assert page.apart == [] and "gap" in names(three, base="safe")


def test_seeds_of_a_limit_are_one_arm_though_each_asks_its_own_prompts(
    project: Project, people: dict[str, User]
) -> None:
    for name, pair in (("one", {}), ("two", LOOSE)):
        for seed, prompts in ((1, held_out()[:2]), (2, held_out()[1:3])):
            run = make_run(project, people["researcher"], name=f"{name} seed {seed}", seed=seed,
                           pair=pair, evaluate=evaluate(limit=2))  # fmt: skip
            ask(evaluated(run, 1, SAFE, 10), prompts)
    assert {a.name: sorted(a.evaluations) for a in arms_of(project)} == {
        "one": [1, 2],
        "two": [1, 2],
    }
    assert names(project, base="one") == ["two", "one"]


def test_seeds_that_were_asked_another_content_of_the_set_are_no_arm_together(
    project: Project, people: dict[str, User]
) -> None:
    for seed, prompts in ((1, held_out()), (2, held_out()[:3])):
        run = make_run(project, people["researcher"], name=f"run seed {seed}", seed=seed)
        ask(evaluated(run, 1, SAFE, 10), prompts)
    assert [a.name for a in arms_of(project)] == ["run (2)", "run"]


def test_arms_are_chosen_and_only_theirs_are_tested(researcher: Client, three: Project) -> None:
    every = compare_page(three, {"base": "safe"})
    page = compare_page(three, {"base": "safe"}, ["keen"])
    assert every.comparison is not None and page.comparison is not None
    assert every.options == page.options == ["keen", "start"]
    assert (every.comparison.tests, page.comparison.tests) == (6, 3)
    assert [a.name for a in page.comparison.arms] == ["keen", "safe"]
    assert (page.left_out, page.apart) == ([], [])
    assert "arm=keen" in page.address and "arm=" not in every.address
    of = {(d.arm, d.figure): d for d in page.comparison.differences}["keen", "helpful"]
    assert of.p is not None and of.corrected == pytest.approx(3 * of.p)
    url = reverse("compare", args=[three.slug])
    text = researcher.get(url, {"base": "safe", "arm": ["keen"]}).content.decode()
    assert "every arm and dimension here, 3 tests." in text
    assert 'name="arm" value="keen" checked' in text and 'name="arm" value="start">' in text
    csv = researcher.get(reverse("compare-csv", args=[three.slug]), {"base": "safe", "arm": "keen"})
    assert "keen" in csv.content.decode() and "arms,start" not in csv.content.decode()


def test_targets_are_checked_on_the_start_policys_rollouts_though_it_is_not_shown(
    three: Project,
) -> None:
    page = compare_page(three, {"base": "safe"}, ["keen"])
    assert page.targets is not None and page.targets.source == "start"
    assert page.comparison is not None and page.comparison.reference is None


def test_an_arm_that_is_none_is_refused(researcher: Client, three: Project) -> None:
    asked = {"base": "safe", "arm": ["keen", "gone"]}
    text = researcher.get(reverse("compare", args=[three.slug]), asked).content.decode()
    assert "There is no arm gone here" in text and 'id="arms"' not in text
    url = f"/api/v1/projects/{three.slug}/compare"
    answer = researcher.get(url, asked)
    assert answer.status_code == 422 and "no arm gone" in answer.json()["errors"][0]["message"]
    found = researcher.get(url, {"base": "safe", "arm": ["keen"]}).json()
    assert [a["name"] for a in found["comparison"]["arms"]] == ["keen", "safe"]
    assert (found["options"], found["comparison"]["tests"]) == (["keen", "start"], 3)


def test_a_start_policys_arm_has_its_name_and_tells_what_is_otherwise(
    three: Project, people: dict[str, User]
) -> None:
    for name, changes in (
        ("again", {"evaluate": evaluate(n=1)}),
        ("warm", {"sample": {"n": 8, "temperature": 0.5, "top_p": 1.0, "max_new_tokens": 64}}),
        ("more", {"sample": {"n": 9, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64}}),
    ):
        ask(evaluated(make_run(three, people["researcher"], name=name, **changes), 0, SAFE, 10),
            held_out())  # fmt: skip
    found = {a.name for a in arms_of(three)} - {"safe", "keen"}
    assert found == {"start", "start (n 1)", "start (temperature 0.5)"}


def test_a_name_that_another_arm_has_gets_a_number(
    project: Project, people: dict[str, User]
) -> None:
    add_evaluation(project, "start", SAFE)
    evaluated(make_run(project, people["researcher"], name="run"), 0, SAFE, 10)
    assert [a.name for a in arms_of(project)] == ["start (2)", "start"]


def test_a_later_prompt_of_the_set_changes_nothing_that_was_asked_before(three: Project) -> None:
    before = compare_page(three, {"base": "safe"}).comparison
    held = held_out()[0].prompt_set
    Prompt.objects.create(prompt_set=held, text="new", key=Prompt.key_of("new"))
    assert compare_page(three, {"base": "safe"}).comparison == before


def test_without_a_base_it_is_the_newest_arm_that_another_can_stand_beside(
    researcher: Client, three: Project, people: dict[str, User]
) -> None:
    run = make_run(three, people["researcher"], name="under way", evaluate=evaluate(limit=2))
    ask(evaluated(run, 0, SAFE, 10), held_out()[:2])
    page = compare_page(three, {})
    assert page.choices[0].name not in ("keen", "safe") and page.base is not None
    assert page.base.name == "keen" and page.comparison is not None
    url = reverse("compare", args=[three.slug])
    alone = researcher.get(url, {"base": page.choices[0].name}).content.decode()
    assert 'id="wins"' not in alone and "Not comparable" in alone


def skip_training(run: Run, number: int = 1) -> None:
    put(stage_of(run, "train", number), status="succeeded", reason="skipped: nothing mined")


def test_an_arm_that_trained_nothing_says_that_it_is_not_trained(
    researcher: Client, three: Project, people: dict[str, User]
) -> None:
    run = make_run(three, people["researcher"], name="idle", pair={"pairs_per_prompt": 2})
    skip_training(run)
    ask(evaluated(run, 1, SAFE, 10), held_out())
    asked = {"base": "safe", "arm": ["idle (not trained)"]}
    text = researcher.get(reverse("compare", args=[three.slug]), asked).content.decode()
    assert "Nothing was trained, so this is the start policy, sampled again: idle" in text
    found = researcher.get(f"/api/v1/projects/{three.slug}/compare", asked).json()
    assert found["untrained"] == {"idle (not trained)": [run.config["seed"]]}
    assert {a["name"] for a in found["comparison"]["arms"]} == {"safe", "idle (not trained)"}


def test_an_arm_of_which_one_seed_trained_nothing_keeps_its_name_and_says_which(
    three: Project, people: dict[str, User]
) -> None:
    idle = make_run(three, people["researcher"], name="keen seed 5", seed=5, pair=LOOSE)
    skip_training(idle)
    ask(evaluated(idle, 1, SAFE, 10), held_out())
    other = make_run(three, people["researcher"], name="safe seed 5", seed=5)
    for number in (0, 1):
        ask(evaluated(other, number, SAFE, 10), held_out())
    page = compare_page(three, {"base": "keen"})
    assert (page.base and page.base.name, page.untrained) == ("keen", {"keen": [5]})


def test_a_run_that_trained_in_an_earlier_round_is_trained(
    three: Project, people: dict[str, User]
) -> None:
    rounds = [{"focus": focus, "prompts": "mixed"} for focus in ("helpful", "harmless")]
    run = make_run(three, people["researcher"], name="two", rounds=rounds)
    first = put(stage_of(run, "train", 1), status="succeeded")
    Policy.objects.create(project=three, name="two round 1", folder="model", stage=first)
    skip_training(run, 2)
    for number in (0, 1, 2):
        evaluated(run, number, SAFE, 10)
    page = compare_page(three, {"base": "two"})
    assert page.untrained == {} and page.rounds[0] == "round 1: helpful"
    assert page.rounds[1] == "round 2: harmless (not trained)"


def test_runs_of_one_configuration_are_one_arm_that_each_of_them_finds(
    researcher: Client, three: Project, people: dict[str, User]
) -> None:
    """`two-1` and `two-2` differ in their seed; `again` is the same as `two-1`."""
    by, pair = people["researcher"], {"pairs_per_prompt": 2}
    first = make_run(three, by, name="two-1", pair=pair)
    ask(evaluated(first, 1, KEEN, 10), held_out())
    ask(evaluated(make_run(three, by, name="two-2", seed=5, pair=pair), 1, KEEN, 10), held_out())
    double = stage_of(make_run(three, by, name="again", pair=pair), "evaluate", 1)
    put(double, status="succeeded", reused_from=stage_of(first, "evaluate", 1))
    (arm,) = [a for a in arms_of(three) if a.is_called("two-1")]
    assert (arm.name, arm.also, sorted(arm.evaluations)) == ("two", ("again",), [5, 7])
    assert arm.is_called("two-2") and arm.is_called("again")
    asked = {"base": "safe", "arm": ["again"]}
    found = researcher.get(f"/api/v1/projects/{three.slug}/compare", asked).json()
    assert {a["name"] for a in found["comparison"]["arms"]} == {"safe", "two"}


def test_a_seed_of_the_base_that_is_not_compared_is_named(
    researcher: Client, three: Project, people: dict[str, User]
) -> None:
    more = make_run(three, people["researcher"], name="safe seed 9", seed=9)
    ask(evaluated(more, 1, SAFE, 10), held_out())
    asked = {"base": "safe", "arm": ["keen"]}
    assert compare_page(three, {"base": "safe"}, ["keen"]).unused == [9]
    text = researcher.get(reverse("compare", args=[three.slug]), asked).content.decode()
    assert "Seed 9 of safe is not compared" in text
    assert "They are against start, the start policy" in text and 'id="wins"' in text
    assert "which is not shown" in text


def test_win_rates_that_are_missing_say_why(
    researcher: Client, three: Project, people: dict[str, User]
) -> None:
    def told(**asked: Any) -> tuple[str, str]:
        page = researcher.get(reverse("compare", args=[three.slug]), asked).content.decode()
        found = researcher.get(f"/api/v1/projects/{three.slug}/compare", asked).json()
        return unescape(page.partition('id="wins"')[2].partition("</section>")[0]), found["winless"]

    card, problem = told(base="safe")
    assert "Win rates against start" in card and problem == ""
    for name, focus in (("safe seed 9", {}), ("keen seed 9", {"pair": LOOSE})):
        run = make_run(three, people["researcher"], name=name, seed=9, **focus)
        ask(evaluated(run, 1, SAFE, 10), held_out())
    for evaluation in Evaluation.objects.filter(stage__run__name__in=("safe", "keen")):
        if evaluation.stage and evaluation.stage.round:
            evaluation.delete()
    card, problem = told(base="safe seed 9")
    assert problem.endswith("the start policy's arm, which has no evaluation of the seeds that are"
                            " compared.") and problem in card  # fmt: skip
    Evaluation.objects.filter(stage__round=0).delete()
    card, problem = told(base="safe seed 9")
    assert "no evaluation that fits these" in problem and problem in card


def test_the_policies_of_a_sweep_are_not_left_out_for_room(
    three: Project, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_page_module, "MOST_ARMS", 4)
    train = {"learning_rate": 1e-3, "epochs": 1, "checkpoint_steps": 2}
    for share in (0.25, 0.5):
        changed = {"train": {**train, "pairs_share": share}}
        run = make_run(three, people["researcher"], name=f"sw {share}", **changed)
        ask(evaluated(run, 1, SAFE, 10), held_out())
    page = compare_page(three, {"base": "sw 0.25"})
    assert set(page.shown) == {"start", "sw 0.25", "sw 0.5", "safe"} and page.left_out == ["keen"]
    assert page.sweep is not None and page.sweep.shares == [0.25, 0.5, 1.0]
