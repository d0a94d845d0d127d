"""Whatever is sent, the answer is no server error, and a failure is a problem."""

from typing import Any

import pytest
from django.db import IntegrityError
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignment.models import Run
from alignment.services import runs
from tests.api.conftest import assert_problem, config

RUNS = "/api/v1/projects/sandbox/runs"
BODIES = [RUNS, "/api/v1/projects/sandbox/run-validations"]


def send(client: Client, url: str, body: bytes) -> Any:
    return client.post(url, body, content_type="application/json")


@pytest.mark.parametrize("url", BODIES)
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "Expecting property name"),
        (b"not json", "Expecting value"),
        (b"\xff", "utf-8"),
        (b'{"name": NaN}', "NaN is not JSON"),
        (b'{"name": "a\\u0000b"}', "holds a NUL character"),
        (b'{"config": {"policy": {"a": ["\\u0000"]}}}', "holds a NUL character"),
        (b'{"config": {"\\u0000": 1}}', "holds a NUL character"),
        (b'{"name": "\\ud800"}', "half of a surrogate pair"),
        (b'{"config": {"train": {"beta": 1e999}}}', "not finite"),
        (b'{"config": ' + b"[" * 100_000, "recursion"),
        (b'{"config": ' + b"9" * 5000 + b"}", "digits"),
    ],
)
def test_a_body_that_cannot_be_read_is_told(
    researcher: Client, url: str, body: bytes, sentence: str
) -> None:
    assert sentence in assert_problem(send(researcher, url, body), 400)["detail"]


@pytest.mark.parametrize("url", BODIES)
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"5", b'"x"', b"{}"])
def test_a_body_of_another_shape_is_told(researcher: Client, url: str, body: bytes) -> None:
    assert assert_problem(send(researcher, url, body), 422)["errors"]


def test_a_body_too_large_is_told(researcher: Client) -> None:
    body = b'{"name": "' + b"x" * 3_000_000 + b'"}'
    assert_problem(send(researcher, RUNS, body), 413)


def test_a_conflict_in_the_database_is_told(
    researcher: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflict(**_: Any) -> Run:
        raise IntegrityError("duplicate key value violates unique constraint")

    monkeypatch.setattr(runs, "create_run", conflict)
    response = researcher.post(RUNS, {"name": "r", "config": config()}, "application/json")
    assert "constraint" not in assert_problem(response, 409)["detail"]


def test_a_defect_is_told_without_its_insides(
    researcher: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(**_: Any) -> Run:
        raise RuntimeError("the insides")

    monkeypatch.setattr(runs, "create_run", defect)
    response = researcher.post(RUNS, {"name": "r", "config": config()}, "application/json")
    problem = assert_problem(response, 500)
    assert "insides" not in response.content.decode()
    assert problem["request_id"] in caplog.text
    assert "the insides" in caplog.text


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=8)
    | st.sampled_from(["start", "mixed", "helpful", "sandbox-helpful", "\x00", 2**63, 10**30])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
paths = st.sampled_from(
    [
        "name",
        "start",
        "config",
        "config.policy",
        "config.seed",
        "config.dimensions",
        "config.judges",
        "config.rounds",
        "config.sample",
        "config.sample.n",
        "config.mine",
        "config.resample_n",
        "config.review",
        "config.train",
        "config.train.beta",
        "config.evaluate",
        "config.evaluate.judges",
        "config.evaluate.limit",
        "config.pair",
    ]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=paths, value=values)
def test_no_value_anywhere_breaks_the_server(researcher: Client, path: str, value: Any) -> None:
    body: dict[str, Any] = {"name": "r", "config": config()}
    *holders, last = path.split(".")
    inner = body
    for holder in holders:
        inner = inner[holder]
    inner[last] = value
    for url in BODIES:
        sent = body if url == RUNS else {"config": body["config"]}
        response = researcher.post(url, sent, content_type="application/json")
        if response.status_code not in (200, 201):
            assert response.status_code in (400, 409, 422), response.content
            assert_problem(response, response.status_code)
    Run.objects.all().delete()
