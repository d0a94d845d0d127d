"""Reviews to files and back: an export leaves nothing out, an import says what it leaves out."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pyarrow import parquet

from alignment.method.errors import MoraError
from alignment.models import Project, Review, Reviewer, Run
from alignment.queries.review_exports import as_json_lines, as_parquet, export_rows
from alignment.services.answers import Answer
from alignment.services.guidelines import publish_guideline
from alignment.services.imported_reviews import import_reviews
from alignment.services.imports import BadRows
from alignment.services.reviews import adjudicate, decide_rewrite, undo_review
from tests.review.conftest import APPROVE, FLAG, REJECT, desk, edit, member


@pytest.fixture
def reviewed(run: Run, bob: User, cy: User, judge: User, people: dict[str, User]) -> Run:
    """Four rewrites: approved after a withdrawn rejection, edited, disputed and adjudicated, and
    one that waits for its second review."""
    publish_guideline(project=run.project, text="Be fair.", by=people["owner"], after=0)
    stage = desk(run, 4, overlap=2)
    items = list(stage.review_items.select_related("stage__run__project").order_by("pk"))
    decide_rewrite(item=items[0], by=bob, answer=REJECT)
    undo_review(item=items[0], by=bob)
    text = "Mend it\nhow, „exactly“?"
    for number, who, answer in (
        (0, bob, Answer(decision="approve", ratings={"natural": 4})),
        (0, cy, APPROVE),
        (1, bob, edit(text)),
        (1, cy, edit(text)),
        (2, bob, FLAG),
        (3, bob, APPROVE),
    ):
        decide_rewrite(item=items[number], by=who, answer=answer)
    adjudicate(item=items[2], by=judge, answer=REJECT)
    return run


def rows(project: Project, viewer: User | None) -> list[dict[str, Any]]:
    data = b"".join(as_json_lines(export_rows(project, viewer)))
    return [json.loads(line) for line in data.splitlines()]


def test_an_export_holds_everything_with_where_it_comes_from(reviewed: Run) -> None:
    found = rows(reviewed.project, None)
    assert len(found) == Review.objects.count() == 8
    first, second = found[0], found[1]
    assert (first["decision"], first["withdrawn_at"] is None) == ("reject", False)
    assert (second["natural"], second["intent_kept"], second["guideline"]) == (4, None, 1)
    edited = next(row for row in found if row["decision"] == "edit")
    assert edited["text"] == edited["outcome"] == "Mend it\nhow, „exactly“?"
    assert edited["distance"] > 0 and edited["rewrite"].startswith(edited["original"])
    assert (edited["run"], edited["round"], edited["strategy"]) == ("run", 1, "fuse")
    last = found[-1]
    assert (last["adjudicates"], last["state"], last["reviewer"]) == (
        True,
        "rejected",
        "a-adjudicator",
    )


def test_a_parquet_file_holds_the_same_rows(reviewed: Run, tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    path.write_bytes(b"".join(as_parquet(export_rows(reviewed.project, None))))
    found = parquet.read_table(path).to_pylist()
    for one, other in zip(found, rows(reviewed.project, None), strict=True):
        times = {k: v and v.isoformat() for k, v in one.items() if k.endswith("_at")}
        assert {**one, **times} == other


def test_an_export_of_nothing_is_a_file_too(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    path.write_bytes(b"".join(as_parquet(export_rows(project, None))))
    assert parquet.read_table(path).num_rows == 0
    assert rows(project, None) == []


def test_who_may_still_review_a_rewrite_gets_no_review_of_it(
    reviewed: Run, people: dict[str, User], bob: User
) -> None:
    assert len(rows(reviewed.project, people["owner"])) == 7
    assert len(rows(reviewed.project, bob)) == 8


def test_the_command_writes_a_file_by_its_name(
    reviewed: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reviews.jsonl"
    call_command("export_reviews", str(path), "--project", "sandbox")
    assert "wrote 8 reviews" in capsys.readouterr().out
    assert len(path.read_text().splitlines()) == 8
    with pytest.raises(CommandError, match=r"\.jsonl or \.parquet"):
        call_command("export_reviews", str(tmp_path / "reviews.xls"), "--project", "sandbox")
    with pytest.raises(CommandError, match="No such file"):
        call_command("export_reviews", str(tmp_path / "no" / "a.jsonl"), "--project", "sandbox")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_an_export_can_be_imported_into_another_run(
    reviewed: Run, other: Run, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"reviews.{kind}"
    call_command("export_reviews", str(path), "--project", "sandbox")
    stage = desk(other, 4, overlap=2)
    call_command("import_reviews", str(path), "--project", "sandbox", "--run", "other")
    told = capsys.readouterr()
    assert "imported 6 reviews into run other" in told.out
    assert "2 rows were passed over: withdrawn, adjudicating or skipping" in told.out
    states = list(stage.review_items.order_by("pk").values_list("state", flat=True))
    assert states == ["approved", "edited", "disputed", "pending"], "a flag disputes"
    assert not Reviewer.objects.filter(user=None).exists(), "members are the same people there"
    stage.refresh_from_db()
    assert (stage.done, stage.disputed) == (2, 1)


def test_an_export_imported_into_its_own_open_review_repeats_nothing(
    reviewed: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reviews.jsonl"
    call_command("export_reviews", str(path), "--project", "sandbox")
    stage = reviewed.stages.get(kind="review", round=1)
    before = list(stage.review_items.order_by("pk").values_list("state", "seen_by"))
    call_command("import_reviews", str(path), "--project", "sandbox", "--run", "run", "--skip-bad")
    told = capsys.readouterr()
    assert "imported 0 reviews into run run" in told.out
    assert told.err.count("has reviewed this rewrite already") == 6
    assert list(stage.review_items.order_by("pk").values_list("state", "seen_by")) == before
    assert Review.objects.count() == 8


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"reviewer": "bob"}, "bob"),
        ({"reviewer": "bob", "has_login": True}, "bob"),
        ({"reviewer": "bob", "has_login": False}, "bob (imported)"),
        ({"reviewer": "Bob"}, "bob"),
        ({"reviewer": "Bob", "has_login": False}, "Bob (imported)"),
        ({"reviewer": "a-viewer"}, "a-viewer"),
        ({"reviewer": "an-outsider", "has_login": True}, "an-outsider (imported)"),
    ],
)
def test_a_reviewer_is_the_member_of_that_user_name(
    run: Run, tmp_path: Path, row: dict[str, Any], named: str
) -> None:
    item = desk(run, 1).review_items.select_related("prompt").get()
    path = tmp_path / "reviews.jsonl"
    path.write_text(
        json.dumps({"rewrite_key": item.prompt.key, "decision": "approve", **row}) + "\n"
    )
    import_reviews(run=run, path=path, columns={}, by=None)
    assert str(Review.objects.get().reviewer) == named
    with pytest.raises(BadRows) as raised:
        import_reviews(run=run, path=path, columns={}, by=None)
    assert "has reviewed this rewrite already" in raised.value.problems.first[0].reason


def test_a_name_that_two_members_have_in_other_cases_is_neithers(
    run: Run, bob: User, project: Project, tmp_path: Path
) -> None:
    member(project, "BOB", "annotator")
    item = desk(run, 1, overlap=3).review_items.select_related("prompt").get()
    path = tmp_path / "reviews.jsonl"
    said = {"rewrite_key": item.prompt.key, "decision": "approve"}
    rows = [{**said, "reviewer": name} for name in ("bob", "BOB", "Bob")]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    import_reviews(run=run, path=path, columns={}, by=None)
    found = {str(review.reviewer) for review in Review.objects.all()}
    assert found == {"bob", "BOB", "Bob (imported)"}


@pytest.mark.parametrize("reason", ["not_natural", "not natural", " Not Natural ", "NOT_NATURAL"])
def test_a_reason_is_read_by_its_name_or_label(run: Run, tmp_path: Path, reason: str) -> None:
    item = desk(run, 1).review_items.select_related("prompt").get()
    said = {"rewrite_key": item.prompt.key, "reviewer": "dee", "decision": "reject"}
    path = tmp_path / "reviews.jsonl"
    path.write_text(json.dumps({**said, "reason": reason}))
    import_reviews(run=run, path=path, columns={}, by=None)
    assert Review.objects.get().reason == "not_natural"


def test_a_rewrite_takes_no_more_reviews_than_it_needs(run: Run, bob: User, tmp_path: Path) -> None:
    stage = desk(run, 2, overlap=2)
    items = list(stage.review_items.select_related("stage__run__project", "prompt").order_by("pk"))
    decide_rewrite(item=items[1], by=bob, answer=APPROVE)
    names = ("dee", "eve", "fay", "gus", "hal")
    path = tmp_path / "reviews.jsonl"
    found = [
        {"rewrite_key": item.prompt.key, "reviewer": name, "decision": "approve"}
        for item in items
        for name in names
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in found))
    done = import_reviews(run=run, path=path, columns={}, by=None, skip_bad=True)
    assert (done.rows, done.problems.total) == (3, 7)
    assert {p.reason for p in done.problems.first} == {
        "its rewrite has all 2 reviews that it takes"
    }
    assert [p.line for p in done.problems.first] == [3, 4, 5, 7, 8, 9, 10]
    again = import_reviews(run=run, path=path, columns={}, by=None, skip_bad=True)
    assert (again.rows, again.problems.total) == (0, 10)
    assert again.problems.first[-1].reason == "its rewrite is approved already"
    assert list(stage.review_items.values_list("state", flat=True)) == ["approved"] * 2
    stage.refresh_from_db()
    assert stage.done == 2
    assert {t.reviewer.name: (t.approve, t.open) for t in stage.tallies.all()} == {
        "bob": (1, 0),
        "dee": (2, 0),
        "eve": (1, 0),
    }


def test_rows_of_json_need_not_have_the_same_columns(run: Run, tmp_path: Path) -> None:
    stage = desk(run, 4)
    items = list(stage.review_items.select_related("prompt__parent").order_by("pk"))
    keys = [item.prompt.key for item in items]
    last = items[3].prompt
    assert last.parent is not None
    found: list[dict[str, Any]] = [
        {"rewrite_key": keys[0], "reviewer": "dee", "decision": "approve"},
        {"key": keys[1], "rater": "dee", "verdict": "reject", "reason": "adds_harm", "words": "no"},
        {"rewrite_key": keys[2], "reviewer": "dee", "decision": "edit", "edited_text": "Mend it"},
        {"original": last.parent.text, "rewrite": last.text, "user": "dee", "decision": "approve"},
        {"reviewer": "eve", "decision": "approve"},
        {"rewrite_key": keys[0], "decision": "approve"},
        {"rewrite_key": keys[0], "reviewer": "eve"},
    ]
    for path in (tmp_path / "reviews.jsonl", tmp_path / "reviews.json"):
        lines = [json.dumps(row) for row in found]
        path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{', '.join(lines)}]")
        with pytest.raises(BadRows) as raised:
            import_reviews(run=run, path=path, columns={}, by=None)
        assert raised.value.problems.total == 3, raised.value.problems.first
    done = import_reviews(run=run, path=path, columns={}, by=None, skip_bad=True)
    assert [p.reason for p in done.problems.first] == [
        "it has no rewrite_key, nor an original and a rewrite",
        "nobody is named as its reviewer",
        "the decision is ''; it is one of approve, edit, reject, skip, flag",
    ]
    said = Review.objects.order_by("item").values_list("decision", "reason", "words", "edited_text")
    assert list(said) == [
        ("approve", "", "", ""),
        ("reject", "adds_harm", "no", ""),
        ("edit", "", "", "Mend it"),
        ("approve", "", "", ""),
    ]


def test_a_column_that_is_asked_for_may_be_missing_from_the_first_row(
    run: Run, tmp_path: Path
) -> None:
    items = desk(run, 2).review_items.select_related("prompt").order_by("pk")
    keys = [item.prompt.key for item in items]
    found: list[dict[str, Any]] = [
        {"rewrite_key": keys[0], "reviewer": "dee", "decision": "approve", "words": "not this"},
        {"rewrite_key": keys[1], "reviewer": "dee", "decision": "approve", "why": "clear"},
    ]
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in found))
    import_reviews(run=run, path=path, columns={"words": "why"}, by=None)
    assert list(Review.objects.order_by("item").values_list("words", flat=True)) == ["", "clear"]


def write(path: Path, *found: dict[str, Any]) -> Path:
    names = ["original", "rewrite", "annotator", "decision", "text", "reason", "natural"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(found)
    return path


def test_bad_rows_are_told_by_line_and_nothing_is_imported_then(run: Run, tmp_path: Path) -> None:
    stage = desk(run, 3)
    prompts = [i.prompt for i in stage.review_items.select_related("prompt__parent").order_by("pk")]
    texts = [{"original": p.parent.text, "rewrite": p.text} for p in prompts if p.parent]
    good = {**texts[0], "annotator": "dee", "decision": "approve", "natural": "5"}
    bad = [
        ({**good}, "dee has reviewed this rewrite already"),
        ({**good, "rewrite": "Another?"}, "no rewrite of this review matches it"),
        ({**good, "decision": "maybe"}, "the decision is 'maybe'"),
        ({**good, "annotator": " "}, "nobody is named"),
        ({**good, **texts[1], "natural": "6"}, "not a whole number from 1 to 5"),
        ({**good, **texts[1], "decision": "reject"}, "needs a reason"),
        ({**good, **texts[1], "decision": "edit"}, "edited rewrite is empty"),
        ({**good, "original": ""}, "the original is empty"),
    ]
    path = write(tmp_path / "reviews.csv", good, *(row for row, _ in bad))
    with pytest.raises(BadRows) as raised:
        import_reviews(run=run, path=path, columns={}, by=None)
    told = {p.line: p.reason for p in raised.value.problems.first}
    assert sorted(told) == list(range(3, 3 + len(bad)))
    for line, (_, reason) in enumerate(bad, 3):
        assert reason in told[line]
    assert not Review.objects.exists()
    done = import_reviews(run=run, path=path, columns={}, by=None, skip_bad=True)
    assert (done.rows, done.problems.total) == (1, len(bad))
    review = Review.objects.get()
    assert (str(review.reviewer), review.ratings) == ("dee (imported)", {"natural": 5})
    assert review.source == "reviews.csv"


def test_a_run_without_an_open_review_takes_no_import(run: Run, tmp_path: Path) -> None:
    with pytest.raises(MoraError, match="its stage is pending"):
        import_reviews(run=run, path=tmp_path / "x.csv", columns={}, by=None)


def test_a_file_without_what_is_needed_says_what(run: Run, tmp_path: Path) -> None:
    desk(run, 1)
    path = tmp_path / "reviews.csv"
    path.write_text("who,decision\nbob,approve\n")
    with pytest.raises(MoraError, match="no column looks like the reviewer"):
        import_reviews(run=run, path=path, columns={}, by=None)
    with pytest.raises(MoraError, match="no column is the rewrite_key"):
        import_reviews(run=run, path=path, columns={"reviewer": "who"}, by=None)
