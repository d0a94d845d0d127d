"""A project with a person of every role, and clients that act as one of them or with a key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from alignment.models import Project, Run
from alignment.services.keys import create_api_key
from tests.builders import config_of, make_run, members, ready_project

ClientOf = Callable[[str], Client]


@pytest.fixture
def project(db: None, settings: Settings, tmp_path: Path) -> Project:
    settings.ARTIFACTS = tmp_path
    (tmp_path / "model").mkdir()
    return ready_project("model")


@pytest.fixture
def people(project: Project) -> dict[str, User]:
    return members(project)


@pytest.fixture
def client_of(people: dict[str, User]) -> ClientOf:
    """A client with a key of the person; of `nobody`, without any."""

    def make(who: str) -> Client:
        if who == "nobody":
            return Client()
        _, text = create_api_key(user=people[who], name="test")
        return Client(headers={"authorization": f"Bearer {text}"})

    return make


@pytest.fixture
def researcher(client_of: ClientOf) -> Client:
    return client_of("researcher")


@pytest.fixture
def run(project: Project, people: dict[str, User]) -> Run:
    return make_run(project, people["owner"])


def config(**changes: Any) -> dict[str, Any]:
    return config_of(**changes).model_dump(mode="json")


def post(client: Client, url: str, body: Any = None) -> Any:
    return client.post(f"/api/v1{url}", body, content_type="application/json")


def get(client: Client, url: str, **query: Any) -> Any:
    return client.get(f"/api/v1{url}", query)


def assert_problem(response: Any, status: int) -> dict[str, Any]:
    """The response is a problem of this status; its body."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == response.wsgi_request.path
    return body
