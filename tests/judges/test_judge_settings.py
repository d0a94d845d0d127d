"""Judges' settings: written out whole, checked against the operator's list, and versioned."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from alignment.method.errors import MoraError
from alignment.models import Judge, JudgeTrial, Project, Rewriter, Run
from alignment.models.judges import harm_judge
from alignment.services import judges, readiness
from tests.builders import write_weights
from tests.judges.conftest import MODEL, make_judge
from workers import judging


def test_a_rubric_judge_holds_a_copy_of_the_shipped_template(judged: Project) -> None:
    judge = judged.judges.get(engine="rubric")
    assert "{completion}" in judge.settings["template"]
    assert "give the person what the request is for" in judge.settings["template"]
    assert judge.settings["system"].startswith("You judge answers")
    assert {"{first}", "{second}"} <= set(judge.settings["pair_template"].split())
    assert judge.version == 1


def test_a_change_of_settings_is_a_new_version_and_another_use_is_not(
    judged: Project, ada: User
) -> None:
    judge = judged.judges.get(engine="rubric")
    judges.edit_settings(row=judge, settings={**judge.settings, "parse": "first_line"}, by=ada)
    assert Judge.objects.get(pk=judge.pk).version == 2
    judge.use = "evaluation"
    judges.save(judge)
    judges.edit_settings(row=judge, settings=judge.settings, by=ada)
    assert Judge.objects.get(pk=judge.pk).version == 2


@pytest.mark.parametrize(
    ("engine", "given", "sentence"),
    [
        ("rubric", {}, "model: Field required"),
        ("rubric", {"model": {**MODEL, "endpoint": "elsewhere"}}, "no endpoint 'elsewhere'"),
        ("rubric", {"model": MODEL, "key": "sk-secret"}, "key: Extra inputs"),
        ("rubric", {"model": MODEL, "pair_template": "Is {first} good?"}, "{first} and {second}"),
        ("rules", {}, "name the rule that judges: one of refusal, sandbox-"),
        ("guard", {"model": MODEL, "convention": "qwen3guard"}, "must be that"),
        ("pattern", {"pattern": "(", "found": 1, "absent": 0}, "no regular expression"),
        ("pattern", {"pattern": "a", "found": 5.5, "absent": 1}, "scale of helpful, 1 to 5"),
        ("pattern", {"pattern": "a", "found": 5, "absent": 0}, "scale of helpful, 1 to 5"),
        ("pattern", {"pattern": "a", "found": 5, "absent": 5}, "would tell nothing"),
        ("reward", [], "Input should be"),
        ("rubric", {"model": {**MODEL, "model": "j\ud800"}}, "half of a surrogate pair"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    judged: Project, engine: str, given: object, sentence: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        make_judge(judged, "helpful", engine, given)
    assert sentence in " ".join(raised.value.messages)


def test_a_rule_is_one_of_those_shipped_or_of_the_operators_list(
    judged: Project, settings: Settings
) -> None:
    judge = judged.judges.get(name="sandbox-harmless")
    assert readiness.judge_problem(judge, "pairing") == ""
    for column in ("rule", "prompt_rule"):
        other = Judge.objects.get(pk=judge.pk)
        setattr(other, column, "beauty")
        assert "no rule 'beauty'; name one of refusal" in readiness.judge_problem(other, "pairing")
        with pytest.raises(ValidationError, match="add it to MORA_RULES"):
            judges.save(other)
        settings.RULES = "taste = own.rules:taste, beauty=own.rules:beauty"
        assert readiness.judge_problem(other, "pairing") == ""
        settings.RULES = ""
    judge.settings = {"model": MODEL}
    with pytest.raises(ValidationError, match="takes none"):
        judges.save(judge)


def test_a_judge_that_cannot_work_says_so_before_a_run(
    judged: Project, settings: Settings, tmp_path: Path
) -> None:
    rubric = judged.judges.get(engine="rubric")
    assert readiness.judge_problem(rubric, "pairing") == ""
    settings.ENDPOINTS = {}
    assert "no endpoint 'here'" in readiness.judge_problem(rubric, "pairing")

    reward = make_judge(judged, "helpful", "reward", {"model": str(tmp_path)})
    assert "holds no config.json" in readiness.judge_problem(reward, "pairing")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").touch()
    assert "can run code when it is read" in readiness.judge_problem(reward, "pairing")
    (tmp_path / "pytorch_model.bin").unlink()
    write_weights(tmp_path, "score.weight")
    assert "no scale yet" in readiness.judge_problem(reward, "pairing")
    settings.MODEL_ROOTS = [tmp_path / "other"]
    assert "MODEL_ROOTS" in readiness.judge_problem(reward, "pairing")

    mc2 = make_judge(judged, "truthful", "mc2", {})
    assert "for evaluation only" in readiness.judge_problem(mc2, "pairing")
    assert readiness.judge_problem(mc2, "evaluation") == ""


def test_a_rewriter_holds_its_templates_and_versions(judged: Project) -> None:
    rewriter = Rewriter(project=judged, name="writer", settings={"model": MODEL})
    judges.save(rewriter)
    assert set(rewriter.settings["templates"]) == {"fuse", "elaborate", "paraphrase"}
    rewriter.settings["intents"]["polite"] = "an answer with good manners"
    judges.save(rewriter)
    assert Rewriter.objects.get().version == 2
    rewriter.settings["templates"]["fuse"] = "Rewrite {prompt}"
    with pytest.raises(ValidationError, match=r"must hold \{intents\}"):
        judges.save(rewriter)
    with pytest.raises(ValidationError, match="has this name"):
        judges.save(Rewriter(project=judged, name="sandbox", settings={"model": MODEL}))


def trial_of(judge: Judge, raw: list[float | None]) -> JudgeTrial:
    results = [[{"raw": value, "reply": "", "reason": ""} for value in raw]]
    items = [["p", "c"]] * len(raw)
    return JudgeTrial.objects.create(
        judge=judge, judge_version=judge.version, items=items, results=results, state="done"
    )


def test_a_reward_model_gets_its_scale_once_from_a_finished_trial(
    judged: Project, ada: User, settings: Settings, tmp_path: Path
) -> None:
    settings.MODEL_ROOTS = [tmp_path]
    (tmp_path / "config.json").write_text("{}")
    write_weights(tmp_path, "score.weight")
    judge = make_judge(judged, "helpful", "reward", {"model": str(tmp_path)})
    with pytest.raises(MoraError, match="2 values are too few"):
        judges.fit_reference(trial=trial_of(judge, [1.0, 2.0, None]), by=ada)
    with pytest.raises(MoraError, match="all alike"):
        judges.fit_reference(trial=trial_of(judge, [1.0] * 30), by=ada)
    trial = trial_of(judge, [float(i) for i in range(101)])
    fitted = judges.fit_reference(trial=trial, by=ada)
    assert fitted.version == 2
    reference = fitted.settings["reference"]
    assert (reference["low"], reference["high"], reference["n"]) == (5.0, 95.0, 101)
    assert reference["trial"] == trial.pk
    with pytest.raises(MoraError, match="has a reference already"):
        judges.fit_reference(trial=trial, by=ada)
    made_up = {**reference, "low": -100.0}
    with pytest.raises(MoraError, match="is fitted to a trial, once"):
        judges.edit_settings(row=fitted, settings={**fitted.settings, "reference": made_up}, by=ada)
    kept = judges.edit_settings(row=fitted, settings={"model": str(tmp_path), "heads": [1]}, by=ada)
    assert kept.settings["reference"] == reference, "left out, it stays"


def test_a_judge_of_a_run_under_way_is_not_changed(judged: Project, ada: User) -> None:
    rubric = judged.judges.get(engine="rubric")
    names = {"helpful": rubric.name, "harmless": "sandbox-harmless"}
    config = {"judges": names, "evaluate": {"judges": names}, "rewrite": {"rewriter": "sandbox"}}
    run = Run.objects.create(project=judged, name="at work", config=config, status="running")
    changed = {**rubric.settings, "parse": "first_line"}
    with pytest.raises(MoraError, match="run at work is at work with rubric of helpful"):
        judges.edit_settings(row=rubric, settings=changed, by=ada)
    assert Judge.objects.get(pk=rubric.pk).version == 1
    Run.objects.filter(pk=run.pk).update(status="succeeded")
    judges.edit_settings(row=rubric, settings=changed, by=ada)
    assert Judge.objects.get(pk=rubric.pk).version == 2


def test_a_judge_keeps_its_dimension_and_engine_and_the_name_that_a_run_has_for_it(
    judged: Project, ada: User
) -> None:
    rubric = judged.judges.get(engine="rubric")
    rubric.dimension = judged.dimensions.get(name="truthful")
    with pytest.raises(MoraError, match="keeps its dimension and its engine"):
        judges.keep(row=rubric, by=ada)
    rubric.refresh_from_db()
    rubric.name = "renamed"
    judges.keep(row=rubric, by=ada)
    config = {"judges": {"helpful": "renamed"}, "rewrite": {"rewriter": "sandbox"}}
    Run.objects.create(project=judged, name="done", config=config, status="succeeded")
    rubric.name = "again"
    with pytest.raises(MoraError, match="run done names renamed, so it keeps that name"):
        judges.keep(row=rubric, by=ada)


def test_the_harmless_judge_tells_the_harm_of_prompts(judged: Project) -> None:
    rubric = judged.judges.get(engine="rubric")
    rubric.settings["prompt_template"] = "Is {prompt} helpful?"
    harmless = judged.judges.get(name="sandbox-harmless")
    assert harmless.scores_prompts and rubric.scores_prompts
    assert harm_judge([rubric, harmless]) == harmless
    assert harm_judge([rubric]) == rubric and harm_judge([]) is None
    harmless.prompt_rule = ""
    assert harm_judge([rubric, harmless]) is None, "a prompt's helpfulness is not its harm"
    assert any("what the request is for" in text for text in rubric.private_texts)


@pytest.mark.parametrize("holds", ["nothing", "a pickle"])
def test_a_judge_whose_model_may_not_be_loaded_is_not_kept(
    judged: Project, ada: User, settings: Settings, tmp_path: Path, holds: str
) -> None:
    settings.MODEL_ROOTS = [tmp_path]
    folder = tmp_path / "model"
    if holds == "a pickle":
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "pytorch_model.BIN").touch()
    row = Judge(
        project=judged,
        dimension=judged.dimensions.get(name="helpful"),
        name="local",
        engine="reward",
        settings={"model": str(folder)},
    )
    told = "run code when it is read" if holds == "a pickle" else "folder"
    with pytest.raises(MoraError, match=told):
        judges.keep(row=row, by=ada)
    assert not Judge.objects.filter(name="local").exists()


@pytest.mark.parametrize(
    ("settings_of", "told"),
    [({}, "writes text"), ({"output": "end_scores"}, "no score_head.weight")],
)
def test_a_model_that_writes_text_is_no_reward_model(
    judged: Project,
    settings: Settings,
    tmp_path: Path,
    ada: User,
    settings_of: dict[str, str],
    told: str,
) -> None:
    settings.MODEL_ROOTS = [tmp_path]
    config = tmp_path / "config.json"
    config.write_text('{"architectures": ["LlamaForCausalLM"]}')
    write_weights(tmp_path, "lm_head.weight")
    row = Judge(
        project=judged,
        dimension=judged.dimensions.get(name="harmless"),
        name="local",
        engine="reward",
        settings={"model": str(tmp_path), **settings_of},
    )
    with pytest.raises(MoraError, match=told):
        judges.keep(row=row, by=ada)
    if not settings_of:
        config.write_text('{"architectures": ["LlamaForSequenceClassification"]}')
        judges.keep(row=row, by=ada)


@pytest.fixture
def cost(judged: Project, settings: Settings, tmp_path: Path) -> Judge:
    """A cost model in its own units, where a cost above 0 is unsafe."""
    settings.MODEL_ROOTS = [tmp_path]
    (tmp_path / "config.json").write_text("{}")
    write_weights(tmp_path, "score_head.weight")
    changes = {"scale_low": -20.0, "scale_high": 20.0, "bar": 0.0}
    judged.dimensions.filter(name="harmless").update(**changes)
    own = {"model": str(tmp_path), "output": "end_scores", "own_units": True, "weights": [-1]}
    return make_judge(judged, "harmless", "reward", own)


def test_a_value_in_its_own_units_is_the_raw_score_and_meets_the_bar_as_it_is(cost: Judge) -> None:
    def ask(spec: object, name: str, args: dict[str, list[str]]) -> list[dict[str, list[float]]]:
        return [{"heads": [float(completion)]} for completion in args["completions"]]

    costs = ["3.5", "0", "-0.5", "-24"]
    found = [j["raw"] for j in judging.judge(ask, cost, ["p"] * 4, costs).judgements]
    assert found == [-3.5, 0, 0.5, 24]
    dimension = cost.dimension.record
    assert dimension.passes(found).tolist() == [False, True, True, True]
    assert dimension.clipped_share(found) == 0.25


def test_a_judge_in_its_own_units_needs_no_reference_and_takes_none(
    cost: Judge, ada: User, client: Client
) -> None:
    assert readiness.judge_problem(cost, "pairing") == ""
    client.force_login(ada)
    page = client.get(reverse("judge", args=[cost.project.slug, cost.pk])).content.decode()
    assert "own_units" in page and "Try it on a text" in page
    assert "no scale yet" not in page and "reference set" not in page
    with pytest.raises(MoraError, match="in its own units"):
        judges.fit_reference(trial=trial_of(cost, [float(i) for i in range(101)]), by=ada)

    fitted = make_judge(cost.project, "helpful", "reward", {"model": cost.settings["model"]})
    trial = trial_of(fitted, [float(i) for i in range(101)])
    fitted = judges.fit_reference(trial=trial, by=ada)
    with pytest.raises(MoraError, match="not fitted to a reference set as well"):
        judges.edit_settings(row=fitted, settings={**fitted.settings, "own_units": True}, by=ada)
