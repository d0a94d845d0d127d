"""A project with a judge of each kind that asks a model, at an endpoint that a test answers for."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from alignment.models import Judge, Project
from mora_web.endpoints import Endpoint
from tests.builders import make_project
from tests.endpoints import Answer, Body, Server, completion, serving

MODEL = {"engine": "endpoint", "endpoint": "here", "model": "m"}


class Answering:
    """What the server says; a test puts another function in."""

    def __init__(self) -> None:
        self.of = lambda body: completion('{"score": 4, "reason": "clear"}')

    def __call__(self, body: Body) -> Answer:
        return self.of(body)


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def server(answering: Answering, settings: Settings) -> Iterator[Server]:
    """A server that is on the operator's list as `here`."""
    with serving(answering) as found:
        settings.ENDPOINTS = {"here": Endpoint(url=found.url)}
        yield found


@pytest.fixture
def judged(transactional_db: None, server: Server) -> Project:
    """The sandbox's dimensions, and a rubric judge of helpfulness at the server."""
    project = make_project()
    make_judge(project, "helpful", "rubric", {"model": MODEL})
    return project


def make_judge(project: Project, dimension: str, engine: str, settings: object) -> Judge:
    from alignment.services import judges

    judge = Judge(
        project=project,
        dimension=project.dimensions.get(name=dimension),
        name=f"{engine} of {dimension}",
        engine=engine,
        settings=settings,
    )
    judges.save(judge)
    return judge


@pytest.fixture
def ada(judged: Project) -> User:
    return User.objects.create_superuser("ada", password="correct horse battery")
