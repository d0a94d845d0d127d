"""Prompts into a set: all of a file, or nothing and why."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from alignment.models import Membership, Project, Prompt, PromptSet, Role
from alignment.permissions import Denied
from alignment.services.imports import BadRows, Imported, import_prompts
from tests.imports.conftest import WriteFile


def load(project: Project, path: Any, **options: Any) -> Imported:
    given = {"set_name": "S", "columns": {}, "by": None, **options}
    return import_prompts(project=project, path=path, **given)


def test_prompts_are_recorded_with_id_kind_and_the_rest(
    project: Project, write_file: WriteFile
) -> None:
    path = write_file("a.csv", 'id,goal,type,note\n7,"How?\nNow?",homonyms,seen\n8, Why? ,,\n')
    done = load(project, path)
    assert (done.rows, done.prompts, done.problems.total, done.notes) == (2, 2, 0, ())
    first, second = Prompt.objects.order_by("pk")
    assert (first.text, first.external_id, first.kind) == ("How?\nNow?", "7", "homonyms")
    assert (first.key, first.meta) == (Prompt.key_of("How?\nNow?"), {"note": "seen"})
    assert (second.text, second.kind, second.meta, second.parent) == (" Why? ", "", {}, None)
    assert (first.prompt_set.name, first.prompt_set.source) == ("S", "a.csv")


def test_nested_values_are_kept_with_the_prompt(project: Project, write_file: WriteFile) -> None:
    row = '{"prompt": "Say \\"ü\\"", "id": 5, "answers": ["a\\tb", {"x": 1.5}], "none": null}'
    load(project, write_file("a.jsonl", row))
    prompt = Prompt.objects.get()
    assert prompt.text == 'Say "ü"'
    assert prompt.external_id == "5"
    assert prompt.meta == {"answers": ["a\tb", {"x": 1.5}]}


BAD = (
    b'\xef\xbb\xbfid,prompt\n1,"a\nb"\n2,\n3,same\n4,same\n5,n\0\n6,\xff\n7,x,y\n8,good\n9,"open\n'
)
TOLD = [
    (4, "the prompt is empty"),
    (6, "repeats line 5"),
    (7, "'prompt' holds a NUL character, which cannot be stored"),
    (8, "bad UTF-8: byte 0xff at byte 3 of line 8"),
    (9, "broken line: 3 fields where the header names 2"),
    (11, "broken line: a quote is opened and never closed"),
]


def test_nothing_is_imported_when_a_row_is_bad(project: Project, write_file: WriteFile) -> None:
    with pytest.raises(BadRows, match="nothing was imported, since 6 rows are bad") as failure:
        load(project, write_file("a.csv", BAD))
    assert [(p.line, p.reason) for p in failure.value.problems.first] == TOLD
    assert not Prompt.objects.exists()
    assert not PromptSet.objects.exists()


def test_bad_rows_are_skipped_when_asked(project: Project, write_file: WriteFile) -> None:
    done = load(project, write_file("a.csv", BAD), skip_bad=True)
    assert [(p.line, p.reason) for p in done.problems.first] == TOLD
    assert list(Prompt.objects.values_list("text", flat=True)) == ["a\nb", "same", "good"]
    assert done.rows == 3
    assert done.notes == ("line 1: a byte-order mark at the start of the file was dropped",)


def test_what_the_set_holds_already_is_bad(project: Project, write_file: WriteFile) -> None:
    load(project, write_file("a.csv", "prompt\nold\n"))
    path = write_file("b.csv", "prompt\nnew\nold\n")
    with pytest.raises(BadRows) as failure:
        load(project, path)
    assert list(failure.value.problems.lines()) == ["line 3: is in the set already"]
    done = load(project, path, skip_bad=True)
    assert (done.rows, done.problems.total) == (1, 1)
    assert load(project, path, skip_bad=True).rows == 0
    assert load(project, path, set_name="other").rows == 2


def test_rewrites_of_the_set_are_not_in_the_way(project: Project, write_file: WriteFile) -> None:
    load(project, write_file("a.csv", "prompt\nseed\n"))
    seed = Prompt.objects.get()
    Prompt.objects.create(
        prompt_set=seed.prompt_set, parent=seed, text="new", key=Prompt.key_of("new")
    )
    assert load(project, write_file("b.csv", "prompt\nnew\n")).rows == 1


def test_repeats_in_one_line_of_json_are_told_apart(
    project: Project, write_file: WriteFile
) -> None:
    path = write_file("a.json", '[{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}]')
    done = load(project, path, skip_bad=True)
    assert list(done.problems.lines()) == ["line 1: repeats line 1"]
    assert list(Prompt.objects.values_list("text", flat=True)) == ["a", "b"]


def test_the_first_fifty_problems_are_told_and_the_rest_counted(
    project: Project, write_file: WriteFile
) -> None:
    path = write_file("a.csv", "id,prompt\n" + "1,\n" * 40 + "2,same\n" * 41)
    done = load(project, path, skip_bad=True)
    assert (done.rows, done.problems.total, len(done.problems.first)) == (1, 80, 50)
    assert [p.line for p in done.problems.first] == [*range(2, 42), *range(43, 53)]
    assert list(done.problems.lines())[-1] == "and 30 more bad rows"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"prompt": "a"}\n{"text": "b"}', "no 'prompt' in this row"),
        ('{"prompt": "a"}\n{"prompt": ["b"]}', "'prompt' is not text"),
        ('{"prompt": "a"}\n{"prompt": null}', "the prompt is empty"),
        ('{"prompt": "a"}\n{"prompt": " \\n "}', "the prompt is empty"),
        ('{"prompt": "a", "kind": 1}\n{"prompt": "b", "kind": "LONG"}', "over 100 characters"),
        ('{"prompt": "a", "id": 1}\n{"prompt": "b", "id": "LONG"}', "over 200 characters"),
    ],
)
def test_a_row_without_what_it_needs_is_bad(
    project: Project, write_file: WriteFile, content: str, reason: str
) -> None:
    with pytest.raises(BadRows) as failure:
        load(project, write_file("a.jsonl", content.replace("LONG", "x" * 201)))
    ((line, text),) = [(p.line, p.reason) for p in failure.value.problems.first]
    assert line == 2
    assert reason in text


def test_a_limit_reads_the_first_rows_only(project: Project, write_file: WriteFile) -> None:
    path = write_file("a.csv", "prompt\na\nb\nc,broken\n")
    assert load(project, path, limit=2).rows == 2


def test_only_a_researcher_may_import(project: Project, write_file: WriteFile) -> None:
    user = User.objects.create(username="ada")
    path = write_file("a.csv", "prompt\na\n")
    with pytest.raises(Denied):
        load(project, path, by=user)
    membership = Membership.objects.create(project=project, user=user, role=Role.ADJUDICATOR)
    with pytest.raises(Denied):
        load(project, path, by=user)
    membership.role = Role.RESEARCHER
    membership.save()
    assert load(project, path, by=user).rows == 1
