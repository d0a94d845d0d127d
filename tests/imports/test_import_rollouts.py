"""Completions with scores made elsewhere become rollouts, scores and an evaluation."""

from typing import Any

import pytest
from pytest_django import Settings

from alignment.method.errors import MoraError
from alignment.models import (
    Dimension,
    Evaluation,
    Judge,
    JudgeTrial,
    Policy,
    Project,
    Prompt,
    Rollout,
    Sampling,
    Score,
)
from alignment.queries.results import policy_table
from alignment.services.imports import BadRows, Imported, import_prompts, import_rollouts
from tests.imports.conftest import WriteFile

SCORES = ["helpful=grade", "harmless=safe:yes=1,*=0 where kind=unsafe"]
FILE = """prompt,response,grade,safe,kind
How?,Thus,5,yes,unsafe
How?,So,2,no,unsafe
Why?,Because,,yes,safe
"""


def load(project: Project, path: Any, **options: Any) -> Imported:
    given = {
        "set_name": "S",
        "policy_name": "model",
        "columns": {},
        "scores": SCORES,
        "by": None,
        **options,
    }
    return import_rollouts(project=project, path=path, **given)


def test_everything_is_recorded(project: Project, write_file: WriteFile) -> None:
    done = load(project, write_file("a.csv", FILE))
    assert (done.rows, done.prompts, done.problems.total, done.notes) == (3, 2, 0, ())
    evaluation = Evaluation.objects.get()
    assert done.evaluation == evaluation
    assert (evaluation.label, evaluation.policy.name, evaluation.stage) == ("model", "model", None)
    assert (evaluation.policy.folder, evaluation.sampling.engine) == ("", "imported")
    assert evaluation.sampling.source == "a.csv"
    rollouts = Rollout.objects.order_by("pk").values_list("prompt__text", "index", "text")
    assert list(rollouts) == [("How?", 0, "Thus"), ("How?", 1, "So"), ("Why?", 0, "Because")]
    judges = evaluation.judges.values_list("name", "engine", "rule", "use")
    assert list(judges) == [
        ("helpful from grade", "imported", "grade", "evaluation"),
        ("harmless from safe", "imported", "safe:yes=1,*=0 where kind=unsafe", "evaluation"),
    ]
    scores = Score.objects.order_by("judge", "rollout")
    assert list(scores.values_list("rollout__text", "raw", "reward", "reply", "reason")) == [
        ("Thus", 5, 1, "5", ""),
        ("So", 2, 0.25, "2", ""),
        ("Because", None, None, "", "the file has no value"),
        ("Thus", 1, 1, "yes", ""),
        ("So", 0, 0, "no", ""),
    ]
    assert set(Prompt.objects.values_list("kind", flat=True)) == {"unsafe", "safe"}


def test_a_row_of_json_need_not_have_every_column(project: Project, write_file: WriteFile) -> None:
    rows = (
        '{"prompt": "How?", "response": "Thus", "grade": 5}\n'
        '{"prompt": "How?", "response": "So", "safe": "yes", "kind": "unsafe"}\n'
    )
    done = load(project, write_file("a.jsonl", rows))
    assert done.rows == 2
    scored = Score.objects.exclude(raw=None).values_list("judge__name", "rollout__text", "raw")
    assert sorted(scored) == [("harmless from safe", "So", 1), ("helpful from grade", "Thus", 5)]


def test_the_policy_table_tells_missing_from_not_judged(
    project: Project, write_file: WriteFile
) -> None:
    (row,) = policy_table([load(project, write_file("a.csv", FILE)).evaluation])  # type: ignore[list-item]
    helpful, harmless = row.rewards["helpful"], row.rewards["harmless"]
    assert (helpful.mean, helpful.n, helpful.invalid) == (0.625, 2, 1)
    assert (harmless.mean, harmless.n, harmless.invalid) == (0.5, 2, 0)
    assert row.invalid_share == 1 / 5
    assert row.joint_pass_rate == 0.5


def test_prompts_of_the_set_are_used_again(project: Project, write_file: WriteFile) -> None:
    prompts = write_file("p.csv", "prompt\nHow?\n")
    import_prompts(project=project, set_name="S", path=prompts, columns={}, by=None)
    assert load(project, write_file("a.csv", FILE)).prompts == 1
    assert Prompt.objects.count() == 2


def test_scores_read_alike_have_one_judge_whatever_the_file(
    project: Project, write_file: WriteFile
) -> None:
    load(project, write_file("a.csv", FILE))
    load(project, write_file("b.csv", FILE), policy_name="other")
    assert Judge.objects.count() == 2
    other = ["helpful=grade:5=5,*=1", SCORES[1]]
    load(project, write_file("c.csv", FILE), policy_name="third", scores=other)
    names = Judge.objects.filter(dimension__name="helpful").order_by("pk")
    assert [j.name for j in names] == ["helpful from grade", "helpful from grade 2"]


def test_a_repeated_rollout_is_bad_and_an_equal_answer_of_another_id_is_not(
    project: Project, write_file: WriteFile
) -> None:
    rows = "id,prompt,completion,grade\n1,How?,Thus,5\n1,How?,Thus,5\n2,How?,Thus,5\n"
    done = load(project, write_file("a.csv", rows), scores=["helpful=grade"], skip_bad=True)
    assert list(done.problems.lines()) == ["line 3: repeats line 2"]
    assert list(Rollout.objects.values_list("index", flat=True)) == [0, 1]


def test_the_same_completions_twice_are_bad(project: Project, write_file: WriteFile) -> None:
    path = write_file("a.csv", FILE)
    load(project, path)
    with pytest.raises(BadRows) as failure:
        load(project, path)
    assert failure.value.problems.total == 3
    again = load(project, path, skip_bad=True)
    assert (again.rows, again.evaluation) == (0, None)
    assert load(project, path, policy_name="other").rows == 3
    assert (Evaluation.objects.count(), Sampling.objects.count()) == (2, 2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("How?,,5,yes,safe", "the completion is empty"),
        ("How?,Thus,good,yes,safe", "'grade' is 'good', not a number"),
        ("How?,Thus", "broken line"),
    ],
)
def test_nothing_is_imported_when_a_row_is_bad(
    project: Project, write_file: WriteFile, row: str, reason: str
) -> None:
    with pytest.raises(BadRows) as failure:
        load(project, write_file("a.csv", f"{FILE}{row}\n"))
    ((line, text),) = [(p.line, p.reason) for p in failure.value.problems.first]
    assert line == 5
    assert reason in text
    for model in (Prompt, Policy, Sampling, Rollout, Judge, Evaluation):
        assert not model.objects.exists()


def test_a_dimension_that_the_project_lacks_is_told_or_made(
    project: Project, write_file: WriteFile
) -> None:
    path = write_file("a.csv", FILE)
    scores = ["truthful=safe:yes=1,*=0"]
    with pytest.raises(MoraError, match=r"no dimension 'truthful'.*--make-dimensions"):
        load(project, path, scores=scores)
    load(project, path, scores=scores, make_dimensions=True)
    made = Dimension.objects.get(name="truthful")
    assert (made.position, made.scale_low, made.scale_high, made.bar) == (2, 0, 1, 1)


def test_scores_outside_the_scale_are_told_and_refused_for_a_made_one(
    project: Project, write_file: WriteFile
) -> None:
    path = write_file("a.csv", FILE.replace(",5,", ",7,"))
    done = load(project, path)
    assert done.notes == ("1 helpful scores lie outside its scale 1 to 5 and count as its ends",)
    with pytest.raises(MoraError, match="2 grade scores lie outside its scale 0 to 1"):
        load(project, path, policy_name="m", scores=["grade=grade"], make_dimensions=True)
    assert not Dimension.objects.filter(name="grade").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scores": []}, "name one score for each dimension"),
        ({"scores": ["helpful=grade", "helpful=safe"]}, "name one score for each dimension"),
        ({"scores": ["helpful=mark"]}, "no column 'mark' for helpful; it has 'prompt', 'response'"),
        ({"scores": ["helpful=grade where x=y"]}, "no column 'x' for helpful"),
        ({"scores": ["helpful=grade where kind=z"]}, "no row has a helpful score"),
        ({"policy_name": "taken"}, "policy 'taken' is a model of this project"),
        ({"policy_name": " "}, "the policy name needs 1 to 100 characters"),
        ({"columns": {"completion": "answer"}}, "no column 'answer' for the completion"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    project: Project, write_file: WriteFile, options: dict[str, Any], sentence: str
) -> None:
    Policy.objects.create(project=project, name="taken", folder="somewhere")
    with pytest.raises(MoraError) as failure:
        load(project, write_file("a.csv", FILE), **options)
    assert sentence in str(failure.value)
    assert not Rollout.objects.exists()


def on_record() -> list[tuple[Any, ...]]:
    found = Score.objects.order_by("rollout", "judge__dimension__position")
    return list(found.values_list("rollout__text", "judge__dimension__name", "raw"))


def test_labels_on_a_second_dimension_are_added_to_known_completions(
    project: Project, write_file: WriteFile
) -> None:
    path = write_file("a.csv", FILE)
    first = load(project, path, scores=SCORES[:1]).evaluation
    more = FILE + "Who?,Me,3,yes,unsafe\n"
    done = load(project, write_file("b.csv", more), scores=SCORES[1:], skip_bad=True)
    assert (done.rows, done.scored, done.prompts) == (1, 2, 1)
    assert list(done.problems.lines()) == ["line 4: is in the set already"], "not judged harmless"
    assert [row for row in on_record() if row[1] == "harmless"] == [
        ("Thus", "harmless", 1),
        ("So", "harmless", 0),
        ("Me", "harmless", 1),
    ]
    assert first is not None and Rollout.objects.count() == 4
    (row,) = policy_table([Evaluation.objects.get(pk=first.pk)])
    assert (row.rewards["helpful"].n, row.rewards["harmless"].n) == (2, 2)
    both = load(project, write_file("b.csv", more), skip_bad=True)
    assert (both.rows, both.scored, both.problems.total) == (0, 1, 3), "helpful of the new one"


def test_a_label_that_differs_from_the_one_on_record_is_bad_and_changes_nothing(
    project: Project, write_file: WriteFile
) -> None:
    load(project, write_file("a.csv", FILE), scores=SCORES[:1])
    known, judges = on_record(), Judge.objects.count()
    other = write_file("b.csv", FILE.replace("Thus,5", "Thus,1").replace("Because,", "Because,4"))
    with pytest.raises(BadRows) as failure:
        load(project, other)
    assert list(failure.value.problems.lines()) == [
        "line 2: it has another helpful score already, which stays"
    ]
    assert (on_record(), Judge.objects.count()) == (known, judges)
    done = load(project, other, skip_bad=True)
    assert (done.rows, done.scored) == (0, 2)
    now = on_record()
    assert ("Thus", "helpful", 5) in now and ("Thus", "harmless", 1) not in now
    assert ("So", "harmless", 0) in now and ("Because", "helpful", 4) in now, "it had no value"


def test_a_dimension_with_braces_in_its_name_is_told_as_it_is(
    project: Project, write_file: WriteFile
) -> None:
    Dimension.objects.create(
        project=project, name="help{full}", position=9, scale_low=1, scale_high=5, bar=4
    )
    scores = ["help{full}=grade"]
    load(project, write_file("a.csv", FILE), scores=scores)
    with pytest.raises(BadRows) as failure:
        load(project, write_file("b.csv", FILE.replace("Thus,5", "Thus,1")), scores=scores)
    told = list(failure.value.problems.lines())
    assert "line 2: it has another help{full} score already, which stays" in told


def test_labels_read_another_way_are_not_mixed_with_those_of_their_dimension(
    project: Project, write_file: WriteFile
) -> None:
    load(project, write_file("a.csv", FILE), scores=["helpful=grade where kind=unsafe"])
    with pytest.raises(BadRows) as failure:
        load(project, write_file("b.csv", FILE.replace("Because,", "Because,4")), scores=SCORES[:1])
    reason = "the helpful scores of its policy were read another way; read these likewise"
    assert [p.reason for p in failure.value.problems.first] == [reason] * 3


def test_equal_answers_are_matched_in_their_order(project: Project, write_file: WriteFile) -> None:
    rows = (
        "id,prompt,completion,grade,safe,kind\n1,How?,Thus,5,yes,unsafe\n2,How?,Thus,2,no,unsafe\n"
    )
    path = write_file("a.csv", rows)
    load(project, path, scores=SCORES[:1])
    third = write_file("b.csv", rows + "3,How?,Thus,1,no,unsafe\n")
    done = load(project, third, scores=SCORES[1:], skip_bad=True)
    assert (done.rows, done.scored, done.problems.total) == (0, 2, 1)
    assert [raw for _, name, raw in on_record() if name == "harmless"] == [1, 0]


HALVES = (FILE, "prompt,response,grade,safe,kind\nHow?,Well,4,no,unsafe\nWho?,Me,3,yes,unsafe\n")


def figures(evaluation: Evaluation | None) -> tuple[Any, ...]:
    assert evaluation is not None
    (row,) = policy_table([evaluation])
    return row.rewards, row.joint_pass_rate, row.prompts, row.rollouts


def test_two_files_of_a_policy_give_what_one_file_gives(
    project: Project, write_file: WriteFile
) -> None:
    first, second = (load(project, write_file(f"{i}.csv", rows)) for i, rows in enumerate(HALVES))
    assert second.evaluation == first.evaluation == Evaluation.objects.get()
    assert (first.joined, second.joined, second.rows) == (0, 3, 2)
    whole = FILE + HALVES[1].partition("\n")[2]
    other = load(project, write_file("whole.csv", whole), policy_name="whole").evaluation
    assert figures(second.evaluation) == figures(other)
    sampling = Sampling.objects.get(policy__name="model")
    assert sampling.source == "0.csv, 1.csv"
    order = sampling.rollouts.filter(prompt__text="How?").order_by("index")
    assert list(order.values_list("text", flat=True)) == ["Thus", "So", "Well"]


def test_completions_judged_on_other_columns_or_versions_or_of_another_set_stay_apart(
    project: Project, write_file: WriteFile
) -> None:
    assert load(project, write_file("a.csv", FILE)).notes == ()
    (told,) = load(project, write_file("b.csv", HALVES[1]), scores=SCORES[:1]).notes
    assert told.startswith("other completions of model in the set have other scores")
    assert load(project, write_file("b.csv", HALVES[1]), set_name="T").notes == ()
    assert Evaluation.objects.count() == 3
    Judge.objects.update(version=2)
    more = "prompt,response,grade,safe,kind\nHow?,Hence,4,no,unsafe\n"
    done = load(project, write_file("c.csv", more))
    assert (Evaluation.objects.count(), done.joined) == (4, 0)


def test_evaluations_are_one_once_their_labels_are_of_the_same_columns(
    project: Project, write_file: WriteFile
) -> None:
    paths = [write_file(f"{i}.csv", rows) for i, rows in enumerate(HALVES)]
    first = load(project, paths[0]).evaluation
    part = load(project, paths[1], scores=SCORES[:1]).evaluation
    assert part is not None and part != first
    judge = project.judges.get(name="helpful from grade")
    trial = JudgeTrial.objects.create(
        judge=judge, judge_version=1, items=[["How?", "Well"]], sampling=part.sampling
    )
    done = load(project, paths[1], scores=SCORES[1:])
    assert (done.rows, done.scored) == (0, 2)
    assert first is not None and Evaluation.objects.get() == first
    trial.refresh_from_db()
    assert (trial.sampling, first.sampling.rollouts.count()) == (first.sampling, 5)


DECLINES = FILE.replace("Thus", '"I\'m sorry, but no."')


def test_completions_that_decline_are_told_by_the_rule_of_runs(
    project: Project, write_file: WriteFile
) -> None:
    done = load(project, write_file("a.csv", DECLINES))
    refused = Rollout.objects.order_by("pk").values_list("refused", flat=True)
    assert list(refused) == [True, False, False]
    (row,) = policy_table([done.evaluation])  # type: ignore[list-item]
    rates = {name: f.refusal_rate for name, f in row.rewards.items()}
    assert rates == {"helpful": 0.25, "harmless": 0.5}, "harmless is judged on one prompt of two"


def test_an_operators_own_rule_of_refusals_is_not_guessed_at(
    project: Project, write_file: WriteFile, settings: Settings
) -> None:
    settings.RULES = "refusal=own:refuses"
    load(project, write_file("a.csv", DECLINES))
    assert set(Rollout.objects.values_list("refused", flat=True)) == {None}
