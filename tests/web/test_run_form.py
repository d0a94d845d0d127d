"""The run form: what it starts from, what it builds, and where its errors land."""

from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from alignment.forms import RunForm
from alignment.method.config import RunConfig
from alignment.models import Judge, Policy, Project, Prompt, Run
from alignment.run_values import defaults, flat, with_rounds_changed
from alignment.services import judges
from alignment.services.runs import BadConfig, check_config, warnings
from mora_web.endpoints import Endpoint
from tests.builders import add_prompts, config_of, write_weights


def posted(values: dict[str, Any]) -> QueryDict:
    """Values as a browser sends them: nothing for an empty box, text for the rest."""
    data = QueryDict(mutable=True)
    for name, value in values.items():
        if isinstance(value, list):
            data.setlist(name, value)
        elif value is True:
            data[name] = "on"
        elif value is not False:
            data[name] = "" if value is None else str(value)
    return data


def page_values(project: Project, **changes: Any) -> dict[str, Any]:
    """What the page as it opens would send, with changes."""
    form = RunForm(project, values=defaults(project))
    return {**{name: value_of(form, name) for name in form.fields}, **changes}


def value_of(form: RunForm, name: str) -> Any:
    """A field's value; a list with nothing chosen sends its first option."""
    value, choices = form[name].value(), list(getattr(form.fields[name], "choices", []))
    return choices[0][0] if value is None and choices else value


CONFIGS = [
    config_of(),
    config_of(
        rounds=[
            {"prompts": "mixed", "focus": "harmless", "limit": 3},
            {
                "prompts": "mixed",
                "focus": None,
                "weights": {"helpful": 0.5, "harmless": 0.25, "truthful": 0.25},
            },
        ],
        resample_n=4,
        mine={"rule": "flat", "min_valid": 5},
        rewrite={"strategy": "none", "candidates": 2},
        review={"mode": "audit", "audit_share": 0.35},
        pair={"consistent": False, "chosen_passes": True, "length_gap_at_most": 40},
        train={"learning_rate": 3.5e-4, "scheduler": "linear", "lora_dropout": 0},
    ),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_comes_back_whole_through_the_form(
    config: RunConfig, project: Project
) -> None:
    shown = RunForm(project, values={**flat(config.model_dump(mode="json")), "name": "again"})
    sent = posted({name: shown[name].value() for name in shown.fields})
    form = RunForm(project, data=sent)
    assert form.is_valid(), form.errors
    assert form.config == config


def test_the_page_as_it_opens_can_be_sent(project: Project) -> None:
    add_prompts(project, "more", ["How do I sew?"])
    form = RunForm(project, data=posted(page_values(project)))
    assert form.is_valid(), form.errors
    config = form.config
    assert config is not None
    assert [r.focus for r in config.rounds] == ["helpful", "harmless", "truthful"]
    assert [r.prompts for r in config.rounds] == ["mixed", "more", "mixed"]
    assert config.evaluate.prompts == "held-out"
    assert config.judges["helpful"] == "sandbox-helpful"
    assert config.evaluate.judges["helpful"] == "sandbox-helpful-eval"


def test_a_dimension_left_out_takes_its_judges_along(project: Project) -> None:
    values = page_values(project, dimensions=["helpful", "harmless"])
    values["rounds.2.focus"] = ""
    form = RunForm(project, data=posted(values))
    assert form.is_valid(), form.errors
    assert form.config is not None
    assert set(form.config.judges) == {"helpful", "harmless"}


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"sample.n": 0}, "sample.n", "greater than or equal to 1"),
        ({"sample.top_p": 0}, "sample.top_p", "greater than 0"),
        ({"train.learning_rate": "fast"}, "train.learning_rate", "Enter a number"),
        ({"dimensions": ["helpful"]}, "dimensions", "two dimensions"),
        ({"rounds.1.prompts": "gone"}, "rounds.1.prompts", "Select a valid choice"),
        ({"name": ""}, "name", "required"),
        ({"rounds.0.weights.helpful": 0.4}, "__all__", "sum to 1"),
    ],
)
def test_an_error_lands_on_its_field(
    project: Project, changes: dict[str, Any], field: str, sentence: str
) -> None:
    values = page_values(project, **changes)
    if changes.get("dimensions"):
        values |= {"rounds.1.focus": "", "rounds.2.focus": ""}
    form = RunForm(project, data=posted(values))
    assert not form.is_valid()
    assert sentence in " ".join(form.errors[field])


def test_an_error_of_the_configuration_finds_its_field(project: Project) -> None:
    Policy.objects.filter(name="start").update(folder="gone")
    form = RunForm(project, data=posted(page_values(project)))
    assert not form.is_valid()
    assert form.errors == {"policy": ["the model folder of 'start' is gone"]}


def test_an_error_in_a_folded_section_opens_it(project: Project) -> None:
    form = RunForm(project, data=posted(page_values(project, **{"train.epochs": 0})))
    assert not form.is_valid()
    assert [s["title"] for s in form.advanced() if s["open"]] == ["Training"]


def test_a_round_is_added_like_the_last_and_one_is_removed(project: Project) -> None:
    values = {
        "name": "kept",
        "rounds.0.prompts": "a",
        "rounds.0.focus": "helpful",
        "rounds.1.prompts": "b",
        "rounds.1.focus": "harmless",
    }
    more = with_rounds_changed(values, "add")
    assert more["rounds.2.prompts"] == "b"
    less = with_rounds_changed(more, "0")
    assert [less[f"rounds.{i}.prompts"] for i in range(2)] == ["b", "b"]
    assert "rounds.2.prompts" not in less
    assert less["name"] == "kept"


def test_the_last_round_stays() -> None:
    values = {"rounds.0.prompts": "a"}
    assert with_rounds_changed(values, "0") == values


def test_rounds_are_added_without_script_and_nothing_is_lost(
    researcher: Client, project: Project
) -> None:
    address = reverse("new-run", args=[project.slug])
    values = page_values(project, name="kept", dimensions=["helpful", "truthful"])
    data = posted({**values, "pair.consistent": False, "change": "add"})
    page = researcher.post(address, data.urlencode(), "application/x-www-form-urlencoded")
    form = page.context["form"]
    assert page.status_code == 200
    assert form.round_count == 4
    assert form["name"].value() == "kept"
    assert form["pair.consistent"].value() is False
    assert form["dimensions"].value() == ["helpful", "truthful"]
    assert not form.errors


def send(client: Client, project: Project, values: dict[str, Any]) -> Any:
    address = reverse("new-run", args=[project.slug])
    return client.post(address, posted(values).urlencode(), "application/x-www-form-urlencoded")


def test_create_and_start_leads_to_the_running_run(researcher: Client, project: Project) -> None:
    values = {**page_values(project, name="first"), "action": "start"}
    response = send(researcher, project, values)
    run = Run.objects.get(name="first")
    assert response["Location"] == reverse("run", args=[project.slug, run.pk])
    assert run.stages.get(position=0).status == "queued"
    assert run.created_by is not None and run.created_by.username == "a-researcher"


def test_create_only_leaves_the_run_pending(researcher: Client, project: Project) -> None:
    send(researcher, project, {**page_values(project, name="first"), "action": "create"})
    assert Run.objects.get(name="first").status == "pending"


def test_a_name_that_is_taken_is_said_on_the_name(
    researcher: Client, project: Project, run: Run
) -> None:
    page = send(researcher, project, page_values(project, name=run.name))
    assert page.status_code == 422
    assert "already" in page.context["form"].errors["name"][0]
    assert Run.objects.count() == 1


def test_a_warning_is_read_before_anything_is_created(researcher: Client, project: Project) -> None:
    values = page_values(project, name="first")
    values["evaluate.judges.helpful"] = "sandbox-helpful"
    page = send(researcher, project, values)
    assert "both pairs and evaluates" in page.content.decode()
    assert not Run.objects.exists()
    send(researcher, project, {**values, "confirmed": "yes"})
    assert Run.objects.filter(name="first").exists()


def test_a_clone_starts_from_the_run_under_a_free_name(
    researcher: Client, project: Project, run: Run
) -> None:
    page = researcher.get(reverse("new-run", args=[project.slug]), {"from": run.pk})
    form = page.context["form"]
    assert form["seed"].value() == 7
    assert form["train.learning_rate"].value() == 1e-3
    assert form["name"].value() != run.name


def test_a_project_that_is_not_ready_is_told_what_it_needs(
    researcher: Client, project: Project
) -> None:
    project.policies.all().delete()
    project.judges.filter(dimension__name="truthful").delete()
    text = researcher.get(reverse("new-run", args=[project.slug])).content.decode()
    assert "a policy with a model" in text
    assert "a judge of truthful that can judge" in text
    assert "<form class=" not in text


@pytest.mark.parametrize("source", ["", "0", "x", "9" * 30])
def test_an_unknown_run_to_clone_gives_the_defaults(
    researcher: Client, project: Project, source: str
) -> None:
    page = researcher.get(reverse("new-run", args=[project.slug]), {"from": source})
    assert page.status_code == 200
    assert page.context["form"]["seed"].value() == 1


def test_a_judge_of_the_same_rule_under_another_name_is_warned_of(project: Project) -> None:
    judge = project.judges.get(name="sandbox-helpful-eval")
    config = config_of()
    assert warnings(project, config) == []
    judge.rule = "sandbox-helpful"
    judge.save()
    (sentence,) = warnings(project, config)
    assert "'sandbox-helpful-eval' evaluates with what 'sandbox-helpful' pairs with" in sentence


def test_a_dimension_may_have_a_held_out_set_of_its_own(
    researcher: Client, project: Project
) -> None:
    values = page_values(project, name="own set")
    send(researcher, project, {**values, "evaluate.sets.harmless": "held-out"})
    run = Run.objects.get(name="own set")
    assert run.config["evaluate"]["sets"] == {"harmless": "held-out"}
    assert flat(run.config)["evaluate.sets.harmless"] == "held-out"
    sample = run.stages.filter(kind="sample")[0]
    assert sample.config["prompts"]["held_out"] == ["held-out"]


def test_a_judges_repeat_noise_is_its_dimensions_threshold(
    researcher: Client, project: Project
) -> None:
    values = page_values(project, name="noisy")
    send(researcher, project, {**values, "mine.noise.helpful": "0.12"})
    run = Run.objects.get(name="noisy")
    assert run.config["mine"]["noise"] == {"helpful": 0.12}
    assert flat(run.config)["mine.noise.helpful"] == 0.12


def test_the_set_that_is_held_out_is_not_mined(project: Project) -> None:
    values = {**page_values(project), "rounds.0.prompts": "held-out"}
    form = RunForm(project, data=posted(values))
    assert not form.is_valid()
    assert "is held out for evaluation" in str(form.errors["rounds.0.prompts"])


def test_a_rubric_judge_may_compare_completions_with_the_start_policys(
    researcher: Client, project: Project, settings: Settings
) -> None:
    settings.ENDPOINTS = {"here": Endpoint(url="http://127.0.0.1:9/v1")}
    assert "evaluate.compare.helpful" not in RunForm(project).fields
    model = {"engine": "endpoint", "endpoint": "here", "model": "m"}
    dimension = project.dimensions.get(name="helpful")
    kept = {"engine": "rubric", "settings": {"model": model}, "use": Judge.Use.EVALUATION}
    judge = Judge(project=project, dimension=dimension, name="r", **kept)
    judges.save(judge)
    assert (
        "Win rate of helpful by"
        in researcher.get(reverse("new-run", args=[project.slug])).content.decode()
    )
    values = page_values(project, name="compared")
    send(researcher, project, {**values, "evaluate.compare.helpful": "r"})
    run = Run.objects.get(name="compared")
    assert run.config["evaluate"]["compare"] == {"helpful": "r"}
    assert flat(run.config)["evaluate.compare.helpful"] == "r"
    start, after = run.stages.filter(kind="evaluate", round__lte=1).order_by("round")
    assert start.config["evaluate"]["compare"] == {}, "its result is the same without"
    assert after.config["evaluate"]["compare"] == {"helpful": "r"}


@pytest.mark.parametrize(
    ("compare", "told"),
    [
        ({"helpful": "nobody"}, "no judge 'nobody'"),
        ({"helpful": "sandbox-harmless"}, "scores harmless"),
        ({"helpful": "sandbox-helpful-eval"}, "sees one completion at a time"),
    ],
)
def test_who_cannot_compare_is_said(project: Project, compare: dict[str, str], told: str) -> None:
    evaluate = {**config_of().evaluate.model_dump(), "compare": compare}
    with pytest.raises(BadConfig) as raised:
        check_config(project, config_of(evaluate=evaluate))
    assert told in raised.value.errors["evaluate.compare.helpful"]


@pytest.mark.parametrize(("n", "mine"), [(3, {}), (16, {"min_valid": 17})])
def test_a_verdict_that_no_prompt_could_get_is_refused(
    project: Project, n: int, mine: dict[str, int]
) -> None:
    with pytest.raises(BadConfig) as raised:
        check_config(project, config_of(sample={"n": n}, mine=mine))
    assert "raise N or lower this" in raised.value.errors["mine.min_valid"]


def test_a_set_of_near_duplicates_of_held_out_prompts_is_refused(project: Project) -> None:
    add_prompts(project, "same", [f"How do I paint {i} doors, please?" for i in range(4)])
    rounds = [{"prompts": "same", "focus": "harmless"}]
    with pytest.raises(BadConfig) as raised:
        check_config(project, config_of(rounds=rounds))
    assert "nothing is left to mine" in raised.value.errors["rounds.0.prompts"]
    add_prompts(project, "more", ["How do I paint 2 doors?", "Why is the sea salt?"])
    check_config(project, config_of(rounds=[{"prompts": "more", "focus": "harmless"}]))


def test_a_gap_that_no_rewards_can_have_is_refused(project: Project) -> None:
    with pytest.raises(BadConfig) as raised:
        check_config(project, config_of(pair={"rule": "rs_dpo", "tau": 1.0, "eta": 0.85}))
    assert "ask for a gap of 1.73" in raised.value.errors["pair.tau"]
    check_config(project, config_of(pair={"rule": "rs_dpo", "tau": 0.5, "eta": 0.85}))


def test_rollouts_that_no_pair_can_come_from_are_refused_or_warned_of(project: Project) -> None:
    with pytest.raises(BadConfig) as raised:
        check_config(project, config_of(resample_n=1))
    assert "two rollouts of a rewrite" in raised.value.errors["resample_n"]
    check_config(project, config_of(resample_n=2))
    greedy = config_of(sample={"n": 8, "temperature": 0})
    assert any("all rollouts of a prompt are alike" in w for w in warnings(project, greedy))
    assert not any("alike" in w for w in warnings(project, config_of()))


def test_a_policy_without_a_chat_template_is_refused(project: Project) -> None:
    folder = project.policies.get(name="start").path
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(BadConfig, match="has no chat template; add its chat_template"):
        check_config(project, config_of())
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    check_config(project, config_of())


def test_new_tokens_that_leave_a_prompt_no_room_in_the_policys_context_are_refused(
    project: Project,
) -> None:
    folder = project.policies.get(name="start").path
    sample = {"n": 8, "max_new_tokens": 64}
    told = "leaves no room for a prompt in the 64 tokens that 'start' takes: ask for fewer"
    for text in (
        '{"max_position_embeddings": 64}',
        '{"n_positions": 64}',
        '{"max_position_embeddings": 512, "text_config": {"max_position_embeddings": 64}}',
    ):
        (folder / "config.json").write_text(text)
        with pytest.raises(BadConfig) as raised:
            check_config(project, config_of(sample=sample))
        assert raised.value.errors == {"sample.max_new_tokens": told}
        check_config(project, config_of(sample={**sample, "max_new_tokens": 63}))
    for text in ("{}", '{"max_position_embeddings": null}', '{"max_position_embeddings": 65}'):
        (folder / "config.json").write_text(text)
        check_config(project, config_of(sample=sample))
    with pytest.raises(BadConfig, match="leaves no room for a prompt in the 32 tokens"):
        check_config(project, config_of(sample={**sample, "engine": "vllm", "max_length": 32}))


def test_a_policy_without_the_modules_that_lora_trains_is_refused(project: Project) -> None:
    folder = project.policies.get(name="start").path
    write_weights(folder, "h.0.attn.c_attn.weight", "h.0.mlp.c_fc.weight", "wte.weight")
    with pytest.raises(BadConfig) as raised:
        check_config(project, config_of())
    told = raised.value.errors["train.lora_targets"]
    assert "none of the modules q_proj, k_proj, v_proj, o_proj" in told
    assert "(c_attn, c_fc)" in told
    for train in ({"method": "full"}, {"lora_targets": "c_attn, c_proj"}):
        check_config(project, config_of(train=train))
    with pytest.raises(BadConfig, match="LoRA cannot train lm_head"):
        check_config(project, config_of(train={"lora_targets": "c_attn, lm_head"}))
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(BadConfig, match="cannot be read as safetensors"):
        check_config(project, config_of())


def test_a_judge_kept_for_evaluation_that_pairs_is_warned_of(project: Project) -> None:
    judge_names = {**config_of().judges, "helpful": "sandbox-helpful-eval"}
    found = warnings(project, config_of(judges=judge_names))
    assert any("'sandbox-helpful-eval' is kept for evaluation, but mines" in w for w in found)


def test_rewrites_whose_harm_nobody_can_tell_are_warned_of(project: Project) -> None:
    assert not any("added harm" in w for w in warnings(project, config_of()))
    project.judges.update(prompt_rule="")
    assert any("added harm" in w for w in warnings(project, config_of()))
    kept = config_of(rewrite={"strategy": "none"})
    assert not any("added harm" in w for w in warnings(project, kept))


def test_a_simultaneous_round_whose_pairs_may_fall_is_warned_of(project: Project) -> None:
    for consistent, focus in ((False, None), (True, None), (False, "harmless")):
        rounds = [{"prompts": "mixed", "focus": focus}]
        config = config_of(rounds=rounds, pair={"consistent": consistent})
        told = [w for w in warnings(project, config) if "aligns all at once" in w]
        assert len(told) == (not consistent and focus is None)


def test_a_rule_that_is_not_as_published_is_warned_of(project: Project) -> None:
    published = config_of(pair={"rule": "rs_dpo", "consistent": False})
    assert warnings(project, published) == warnings(project, config_of())
    kept = warnings(project, config_of(pair={"rule": "rs_dpo"}))
    assert [w for w in kept if w.startswith("RS-DPO takes every pair over its gap")]


def test_a_judge_of_reference_answers_needs_a_model_and_answers(
    project: Project, settings: Settings
) -> None:
    settings.ENDPOINTS = {"here": Endpoint(url="http://localhost:1/v1")}
    truthful = project.dimensions.get(name="truthful")
    Judge.objects.create(project=project, dimension=truthful, name="mc", engine="mc2")
    evaluate = config_of().model_dump()["evaluate"]
    config = config_of(evaluate={**evaluate, "judges": {**evaluate["judges"], "truthful": "mc"}})
    with pytest.raises(BadConfig) as refused:
        check_config(project, config)
    assert (
        "'held-out' has none: import TruthfulQA" in refused.value.errors["evaluate.judges.truthful"]
    )
    Prompt.objects.filter(prompt_set__name="held-out").update(
        meta={"Correct Answers": "yes", "Incorrect Answers": "no"}
    )
    check_config(project, config)
    project.policies.update(endpoint="here", folder="")
    with pytest.raises(BadConfig) as refused:
        check_config(project, config)
    assert "an endpoint does not give" in refused.value.errors["evaluate.judges.truthful"]
