"""A key is read where the worker starts and shown nowhere, whatever the server does with it."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from alignment.method.errors import MoraError
from tests.endpoints import Answer, Body, Server, completion, problem, serving
from tests.engines.test_endpoint import PARAMS, spec
from workers.child import Child
from workers.engines import keys
from workers.engines.endpoint import load

KEY = "sk-SECRET-0123456789"


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_hidden", set())


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, log: list[str]) -> Iterator[Any]:
    """What a child makes of a server's answer: its result, or its error with all its notes."""
    monkeypatch.setenv("TEST_KEY", KEY)
    children: list[Child] = []

    def ask(found: Server) -> str:
        own = spec(found.url, engine="endpoint", key_variable="TEST_KEY")
        child = Child(own, log.append)
        children.append(child)
        args = {"prompts": ["a", "b"], "seeds": [[1], [2]], "params": PARAMS}
        try:
            return json.dumps(child.call("sample", args, stop=threading.Event()))
        except Exception as error:
            return "\n".join([str(error), *getattr(error, "__notes__", ())])

    yield ask
    for child in children:
        child.end()


@pytest.mark.parametrize("written", [f"{KEY}\n", f" \t{KEY}\r\n"])
def test_white_space_around_a_key_is_not_part_of_it(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", written)
    with serving(lambda body: completion("yes")) as found:
        engine = load(spec(found.url, key_variable="TEST_KEY"))
        args = {"prompts": ["a"], "seeds": [[1]], "params": PARAMS}
        engine.calls["sample"](args, print)
    assert found.requests[0]["key"] == f"Bearer {KEY}"


@pytest.mark.parametrize("written", ["sk-bad\nkey", "sk-b\N{LATIN SMALL LETTER A WITH ACUTE}d"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", written)
    with pytest.raises(MoraError, match="set TEST_KEY to the key alone") as raised:
        load(spec("http://127.0.0.1:1/v1", key_variable="TEST_KEY"))
    assert "sk-b" not in str(raised.value)


@pytest.mark.parametrize("status", [400, 401, 404])
def test_an_error_that_quotes_the_key_is_told_without_it(
    status: int, told: Any, log: list[str]
) -> None:
    def quoting(body: Body) -> Answer:  # so that the key stands where the sentence is cut
        return problem(status, f"{'x' * 246} Incorrect API key provided: {body['key']}")

    with serving(quoting) as found:
        text = told(found)
    wait_for(log, "Traceback")
    shown = text + "\n".join(log)
    assert "Bearer ***" in text
    assert KEY not in shown and KEY[:6] not in shown


def test_a_redirect_that_quotes_the_key_is_told_without_it(told: Any, log: list[str]) -> None:
    answer = Answer(status=302, headers={"Location": f"http://x/?key={KEY}"})
    with serving(lambda body: answer) as found:
        text = told(found)
    wait_for(log, "Traceback")
    assert "redirects to http://x/?key=***" in text
    assert KEY not in "\n".join(log)


def test_a_reply_that_quotes_the_key_is_kept_without_it(told: Any) -> None:
    with serving(lambda body: completion(f"My key is {body['key']}.")) as found:
        text = told(found)
    assert "My key is Bearer ***." in text and KEY not in text


def test_a_placeholder_for_a_server_without_keys_hides_no_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_KEY", "none")
    keys.read("here", "TEST_KEY")
    assert keys.masked({"text": "none of them"}) == {"text": "none of them"}


def wait_for(log: list[str], word: str) -> None:
    """The log comes by another pipe than the answer."""
    deadline = time.monotonic() + 10
    while word not in "\n".join(log):
        assert time.monotonic() < deadline, log
        time.sleep(0.02)
    time.sleep(0.2)
