"""A review desk: a waiting review stage with some rewrites, and people of every role."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from alignment.models import Membership, Project, Role, Run, Stage
from alignment.services.answers import Answer
from tests.builders import add_prompts, make_run, open_review, ready_project

APPROVE = Answer(decision="approve")
SKIP = Answer(decision="skip")
REJECT = Answer(decision="reject", reason="not_natural", words="stilted")
FLAG = Answer(decision="flag", words="is this lawful?")


def edit(text: str, **rest: Any) -> Answer:
    return Answer(decision="edit", text=text, **rest)


@pytest.fixture
def project(db: None, settings: Settings, tmp_path: Path) -> Project:
    settings.ARTIFACTS = tmp_path
    (tmp_path / "model").mkdir()
    return ready_project("model")


def member(project: Project, name: str, role: str) -> User:
    user = User.objects.create_user(name)
    Membership.objects.create(project=project, user=user, role=role)
    return user


@pytest.fixture
def people(project: Project) -> dict[str, User]:
    """A person of every role by its name, two more annotators, and an outsider."""
    found = {role.value: member(project, f"a-{role}", role) for role in Role}
    more = {name: member(project, name, Role.ANNOTATOR) for name in ("bob", "cy")}
    return {**found, **more, "outsider": User.objects.create_user("an-outsider")}


@pytest.fixture
def bob(people: dict[str, User]) -> User:
    return people["bob"]


@pytest.fixture
def cy(people: dict[str, User]) -> User:
    return people["cy"]


@pytest.fixture
def judge(people: dict[str, User]) -> User:
    """Who adjudicates."""
    return people["adjudicator"]


@pytest.fixture
def run(project: Project, people: dict[str, User]) -> Run:
    return make_run(project, people["owner"], review={"mode": "required"})


def desk(run: Run, rewrites: int = 3, *, overlap: int = 1, close_after: int = 60) -> Stage:
    """The run's review stage, waiting for people."""
    return open_review(run, rewrites, overlap=overlap, close_after=close_after)


@pytest.fixture
def stage(run: Run) -> Stage:
    return desk(run)


@pytest.fixture
def other(project: Project, people: dict[str, User]) -> Run:
    """Another run of the project."""
    add_prompts(project, "more", ["How do I sharpen a saw?"])
    return make_run(project, people["owner"], name="other", review={"mode": "required"})
