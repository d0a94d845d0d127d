"""An operator edits a rule's file: what the old code scored is not used for the new."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from alignment.method.errors import MoraError
from alignment.method.rules import code_of
from alignment.models import Judge, Project
from alignment.services import judges, runs
from tests.builders import config_of, make_run, ready_project
from tests.workers.test_slots import NEVER
from workers import judging
from workers.slots import Slot

RULE = "def words(prompt, completion):\n    return {}\n"


@pytest.fixture
def file(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's module, on the list of web and workers."""
    made = tmp_path / "rules_of_a_test.py"
    made.write_text(RULE.format(1.0))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings.RULES = "words=rules_of_a_test:words"
    monkeypatch.setenv("MORA_RULES", settings.RULES)
    return made


@pytest.fixture
def project(db: None, settings: Settings, tmp_path: Path, file: Path) -> Project:
    settings.ARTIFACTS = tmp_path
    project = ready_project("model")
    judge = Judge(
        project=project,
        dimension=project.dimensions.get(name="helpful"),
        name="words",
        engine="rules",
        rule="words",
    )
    judges.save(judge)
    return project


@pytest.fixture
def slot() -> Iterator[Slot]:
    made = Slot()
    yield made
    made.end_children()


def words(project: Project) -> Judge:
    return project.judges.get(name="words")


def by_words(**changes: Any) -> dict[str, Any]:
    return {"judges": {**config_of().judges, "helpful": "words"}, **changes}


def test_a_judge_whose_code_was_edited_is_a_new_version_with_the_next_run(
    project: Project, owner: User, file: Path
) -> None:
    first = make_run(project, owner, name="first", **by_words())
    assert words(project).version == 1
    make_run(project, owner, name="again", **by_words())
    assert words(project).version == 1, "the code is as it was"
    file.write_text(RULE.format(2.0))
    runs.create_run(project=project, name="new", config=config_of(**by_words()), by=owner)
    assert words(project).version == 2
    assert project.judges.get(name="sandbox-helpful").version == 1, "a shipped rule"
    file.write_text(RULE.format(3.0))
    runs.start_run(run=first, by=owner)
    assert words(project).version == 3, "before its first stage"


def test_while_a_run_is_at_work_with_a_judge_other_code_waits(
    project: Project, owner: User, file: Path
) -> None:
    run = make_run(project, owner, name="busy", **by_words())
    runs.start_run(run=run, by=owner)
    file.write_text(RULE.format(2.0))
    with pytest.raises(MoraError, match="run busy is at work with it: put it back"):
        make_run(project, owner, name="new", **by_words())
    assert words(project).version == 1 and not project.runs.filter(name="new").exists()
    make_run(project, owner, name="without it")


def test_a_retry_waits_until_the_code_is_put_back_and_goes_on_as_it_was(
    project: Project, owner: User, file: Path
) -> None:
    usual = config_of().evaluate
    evaluate = {**usual.model_dump(), "judges": {**usual.judges, "helpful": "words"}}
    run = make_run(project, owner, name="failed", evaluate=evaluate)
    runs.start_run(run=run, by=owner)
    runs.cancel_run(run=run, by=owner)
    file.write_text(RULE.format(2.0))
    with pytest.raises(MoraError, match="put it back, or clone the run"):
        runs.retry_run(run=run, by=owner)
    assert words(project).version == 1
    file.write_text(RULE.format(1.0))
    runs.retry_run(run=run, by=owner)
    run.refresh_from_db()
    assert (run.status, words(project).version) == ("queued", 1)


def test_a_retry_before_anything_was_judged_takes_the_code_as_it_is(
    project: Project, owner: User, file: Path
) -> None:
    run = make_run(project, owner, name="early", **by_words())
    runs.cancel_run(run=run, by=owner)
    file.write_text(RULE.format(2.0))
    runs.retry_run(run=run, by=owner)
    assert words(project).version == 2


def test_a_worker_judges_by_the_code_of_the_version_or_not_at_all(
    project: Project, file: Path, slot: Slot
) -> None:
    def ask(spec: dict[str, Any], name: str, args: dict[str, Any]) -> Any:
        return slot.child(spec).call(name, args, stop=NEVER)

    def raw() -> Any:
        return judging.judge(ask, words(project), ["p"], ["c"]).judgements[0]["raw"]

    assert raw() == 1.0
    file.write_text(RULE.format(2.0))
    with pytest.raises(MoraError, match="was edited while the run is at work"):
        raw()
    judges.notice_code(project, ["words"])
    assert raw() == 2.0, "another child imported it"


def test_a_judge_of_before_codes_were_kept_takes_the_code_on_and_keeps_its_version(
    project: Project, owner: User, slot: Slot
) -> None:
    Judge.objects.filter(name="words").update(code="")

    def ask(spec: dict[str, Any], name: str, args: dict[str, Any]) -> Any:
        return slot.child(spec).call(name, args, stop=NEVER)

    assert judging.judge(ask, words(project), ["p"], ["c"]).judgements[0]["raw"] == 1.0
    make_run(project, owner, name="first", **by_words())
    assert (words(project).version, words(project).code) == (1, words(project).code_now)


def test_another_function_and_a_shipped_name_that_is_listed_are_other_code(
    project: Project, file: Path
) -> None:
    one = code_of(["words"], "words=rules_of_a_test:words")
    assert one and one != code_of(["words"], "words=rules_of_a_test:others")
    assert code_of(["refusal"], "refusal=rules_of_a_test:words") and not code_of(["refusal"], "")
