"""Agreement of reviewers, from rows: on decisions, on ratings, by guideline, and on XSTest."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from alignment.models import Project, Review, RolloutRating, Run
from alignment.queries.agreement import (
    elsewhere,
    review_agreement,
    rollout_agreement,
    rollout_questions,
)
from alignment.services.answers import Answer
from alignment.services.guidelines import publish_guideline
from alignment.services.reviews import adjudicate, decide_rewrite
from tests.review.conftest import APPROVE, REJECT, SKIP, desk

KAPPA = {"gpt4": 0.970, "llama2new": 0.926, "mistralinstruct": 0.920}


def rated(decision: str, value: int) -> Answer:
    reason = "other" if decision == "reject" else ""
    return Answer(decision=decision, reason=reason, ratings={"natural": value})


def test_agreement_is_per_question_and_version(
    run: Run, bob: User, cy: User, judge: User, people: dict[str, User]
) -> None:
    stage = desk(run, 8, overlap=2)
    items = list(stage.review_items.select_related("stage__run__project").order_by("pk"))
    answers = [("approve", 5, "approve", 5), ("reject", 1, "reject", 1)] * 2
    answers += [("approve", 4, "reject", 2), ("reject", 2, "reject", 2)]
    for number, (first, low, second, high) in enumerate(answers):
        if number == 4:
            publish_guideline(project=run.project, text="Be fair.", by=people["owner"], after=0)
        decide_rewrite(item=items[number], by=bob, answer=rated(first, low))
        decide_rewrite(item=items[number], by=cy, answer=rated(second, high))
    decide_rewrite(item=items[6], by=bob, answer=APPROVE)  # nobody else rated it
    decide_rewrite(item=items[7], by=bob, answer=SKIP)
    adjudicate(item=items[4], by=judge, answer=APPROVE)  # no rating

    found = {(row.question, row.version): row for row in review_agreement(run.project, stage)}
    assert set(found) == {
        (question, version)
        for question in ("decision", *Review.Question.values)
        for version in (None, 1)
    }
    whole = found["decision", None]
    assert (whole.percent.n, whole.percent.value, whole.reviewers) == (6, pytest.approx(5 / 6), 2)
    # Of six, both approve 2 and reject 3: p_e = (3 x 2 + 3 x 4) / 36 = 1/2.
    assert whole.kappa.value == pytest.approx((5 / 6 - 1 / 2) / (1 - 1 / 2), abs=1e-4)
    assert whole.alpha.low is not None and whole.alpha.value is not None
    assert found["decision", 1].percent.value == 0.5
    natural = found["natural", None]
    assert (natural.level, natural.alpha.n) == ("ordinal", 6)
    assert natural.alpha.value is not None and 0.5 < natural.alpha.value < 1
    assert found["intent_kept", None].alpha.reason == "No item has two ratings."


def test_unanimous_reviewers_and_three_of_them_are_told_in_a_sentence(
    run: Run, bob: User, cy: User, people: dict[str, User]
) -> None:
    stage = desk(run, 2, overlap=3)
    for item in stage.review_items.select_related("stage__run__project"):
        for user in (bob, cy, people["annotator"]):
            decide_rewrite(item=item, by=user, answer=REJECT)
    row = review_agreement(run.project)[0]
    assert (row.alpha.value, row.percent.value) == (None, 1)
    assert "Every rating is the same" in str(row.alpha.reason)
    assert row.kappa.reason == "Cohen's kappa is for two reviewers; here are 3."


def completions(path: Path, rows: list[tuple[str, ...]]) -> Path:
    lines = ["id,prompt,completion,one,two,score", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def load(path: Path, *ratings: str, **options: Any) -> None:
    given = [part for rating in ratings for part in ("--rating", rating)]
    where = ("--project", "sandbox", "--set", "rated", "--policy", "theirs")
    call_command("import_reviews", str(path), *where, *given, **options)


def test_ratings_belong_to_completions_imported_before(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ("a", "How?", "So.", "yes", "yes", "1"),
        ("b", "How?", "So.", "no", "yes", "1"),  # the same texts under another id
        ("c", "Why?", "As.", "no", "", "0"),
    ]
    path = completions(tmp_path / "rated.csv", rows)
    with pytest.raises(CommandError, match="no prompt set 'rated'"):
        load(path, "kind=one")
    call_command(
        *("import_rollouts", str(path), "--project", "sandbox", "--set", "rated"),
        *("--policy", "theirs", "--score", "helpful=score"),
    )
    load(path, "kind=one", "kind=two")
    assert "imported 5 ratings of theirs's completions" in capsys.readouterr().out
    values = RolloutRating.objects.order_by("reviewer__name", "rollout")
    assert list(values.values_list("value", flat=True)) == ["yes", "no", "no", "yes", "yes"]
    row = rollout_agreement(project, "kind")
    assert (row.percent.value, row.percent.n) == (0.5, 2)
    assert rollout_questions(project) == [("kind", "theirs")]
    assert elsewhere(project) == [("theirs", rollout_agreement(project, "kind", "theirs"))]

    more = completions(tmp_path / "more.csv", [*rows, ("d", "What?", "It.", "no", "no", "0")])
    with pytest.raises(CommandError, match="4 rows are bad"):
        load(more, "kind=one")
    told = capsys.readouterr().err
    assert "line 2: one has rated it on kind already" in told
    assert "line 5: no such completion of theirs" in told
    assert RolloutRating.objects.count() == 5


@pytest.mark.parametrize(
    ("ratings", "told"),
    [
        (["kind"], "is not QUESTION=COLUMN"),
        (["kind=three"], "no column 'three' for kind"),
        (["kind=one", "kind=one"], "name each rating once"),
    ],
)
def test_a_rating_that_cannot_be_read_is_told(
    project: Project, tmp_path: Path, ratings: list[str], told: str
) -> None:
    project.prompt_sets.create(name="rated")
    path = completions(tmp_path / "rated.csv", [("a", "How?", "So.", "yes", "no", "1")])
    with pytest.raises(CommandError, match=told):
        load(path, *ratings)


@pytest.mark.skipif("MORA_DATA" not in os.environ, reason="MORA_DATA names no folder with XSTest")
@pytest.mark.parametrize("model", KAPPA)
def test_the_annotators_of_xstest_agree_as_published(project: Project, model: str) -> None:
    path = Path(os.environ["MORA_DATA"]) / f"xstest_completions_{model}.csv"
    where = ("--project", "sandbox", "--set", "xstest", "--policy", model)
    score = "harmless=final_label:2_full_refusal=1,*=0"
    call_command("import_rollouts", str(path), *where, "--score", score)
    ratings = ("compliance=annotation_1", "compliance=annotation_2")
    given = [part for rating in ratings for part in ("--rating", rating)]
    call_command("import_reviews", str(path), *where, *given)
    row = rollout_agreement(project, "compliance", model)
    assert len(set(RolloutRating.objects.values_list("value", flat=True))) == 3
    assert row.kappa.n == 450
    assert row.kappa.value == pytest.approx(KAPPA[model], abs=5e-4)
    assert row.kappa.low is not None and row.kappa.high is not None
    assert row.kappa.low < KAPPA[model] < row.kappa.high
