"""The commands: what a person types and is told."""

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from alignment.models import Membership, Project, Prompt, Rollout
from tests.imports.conftest import WriteFile

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(*map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_a_project_is_made_with_its_dimensions_and_owner() -> None:
    User.objects.create(username="ada")
    scales = ["--dimension", "helpful:1:5:4", "--dimension", "harm:1:0:0.2", "--dimension", "true"]
    out, _ = run("create_project", "My Project", *scales, "--owner", "ada")
    assert out == "made project my-project\n"
    project = Project.objects.get()
    fields = ("name", "scale_low", "scale_high", "bar", "higher_is_better", "position")
    assert list(project.dimensions.values_list(*fields)) == [
        ("helpful", 1, 5, 4, True, 0),
        ("harm", 0, 1, 0.2, False, 1),
        ("true", 0, 1, 1, True, 2),
    ]
    assert Membership.objects.get().role == "owner"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["P"], "there is a project 'p' already"),
        (["!!"], "needs letters or digits"),
        (["Q", "--dimension", "a:1:5"], "'a:1:5' is not NAME:WORST:BEST:BAR"),
        (["Q", "--dimension", "a:1:5:1"], "everything would pass"),
        (["Q", "--dimension", "a", "--dimension", "a"], "a dimension is named twice"),
        (["Q", "--owner", "nobody"], "no user is called 'nobody'"),
    ],
)
def test_a_project_that_cannot_be_made_says_why(arguments: list[str], sentence: str) -> None:
    run("create_project", "P")
    with pytest.raises(CommandError) as failure:
        run("create_project", *arguments)
    assert sentence in str(failure.value)
    assert Project.objects.count() == 1


def test_prompts_are_imported(write_file: WriteFile) -> None:
    run("create_project", "My Project")
    path = write_file("a.csv", "goal,text\na,x\nb,y\nc,z\n")
    out, err = run(
        "import_prompts", path, "--project", "My Project", "--set", "S", "--column", "prompt=text",
        "--limit", 2,
    )  # fmt: skip
    assert out == "imported 2 prompts into set S of project my-project\n"
    assert err == ""
    assert list(Prompt.objects.values_list("text", flat=True)) == ["x", "y"]


def test_bad_rows_are_listed_and_the_status_is_not_zero(write_file: WriteFile) -> None:
    run("create_project", "P")
    path = write_file("a.csv", "prompt\na\n\0\n")
    err = StringIO()
    with pytest.raises(CommandError, match=r"nothing was imported, since 1 row is bad") as failure:
        call_command("import_prompts", str(path), "--project", "p", "--set", "S", stderr=err)
    assert failure.value.returncode == 1
    assert err.getvalue() == "line 3: 'prompt' holds a NUL character, which cannot be stored\n"
    out, told = run("import_prompts", path, "--project", "p", "--set", "S", "--skip-bad")
    assert told == err.getvalue()
    assert out == "left out 1 bad row\nimported 1 prompts into set S of project p\n"


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("a.csv", ["--project", "q", "--set", "S"], "no project 'q'; there is p"),
        ("b.csv", ["--project", "p", "--set", "S"], "No such file or directory"),
        ("a.xls", ["--project", "p", "--set", "S"], "unknown format '.xls'"),
        ("a.csv", ["--project", "p", "--set", ""], "the set name needs 1 to 100 characters"),
        ("a.csv", ["--project", "p", "--set", "S", "--column", "x"], "'x' is not ROLE=COLUMN"),
        ("a.csv", ["--project", "p", "--set", "S", "--column", "prompt=x"], "the file has 'goal'"),
        (
            "a.csv",
            ["--project", "p", "--set", "S", "--column", "id=a", "--column", "id=goal"],
            "--column id= is given twice",
        ),
        ("a.csv", ["--project", "p", "--set", "S", "--limit", "0"], "'0' is not a number from 1"),
        ("a.csv", ["--project", "p"], "required: --set"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    write_file: WriteFile, name: str, arguments: list[str], sentence: str
) -> None:
    run("create_project", "P")
    path = write_file("a.csv", "goal\na\n")
    write_file("a.xls", "")
    with pytest.raises(CommandError) as failure:
        run("import_prompts", path.parent / name, *arguments)
    assert sentence in str(failure.value)
    assert "\n" not in str(failure.value)


def test_rollouts_are_imported(write_file: WriteFile) -> None:
    run("create_project", "P")
    path = write_file("a.csv", "prompt,completion,ok\na,x,yes\nb,y,no\n")
    out, _ = run(
        "import_rollouts", path, "--project", "p", "--set", "S", "--policy", "model",
        "--score", "helpful=ok:yes=1,no=0", "--make-dimensions",
    )  # fmt: skip
    where = "project p, prompt set S (2 prompts added)"
    assert out == f"imported 2 completions of model into {where}\n"
    assert Rollout.objects.count() == 2
    out, _ = run(
        "import_rollouts", path, "--project", "p", "--set", "S", "--policy", "model",
        "--score", "harmless=ok:yes=0,no=1", "--make-dimensions",
    )  # fmt: skip
    where = "project p, prompt set S (0 prompts added)"
    assert out == (
        f"imported 0 completions of model into {where}\n"
        "added scores to 2 completions known before\n"
    )
    assert Rollout.objects.count() == 2
    more = write_file("b.csv", "prompt,completion,ok\nb,z,no\n")
    out, _ = run(
        "import_rollouts", more, "--project", "p", "--set", "S", "--policy", "model",
        "--score", "helpful=ok:yes=1,no=0", "--score", "harmless=ok:yes=0,no=1",
    )  # fmt: skip
    assert out.endswith("they join 2 completions on record in one evaluation\n")
