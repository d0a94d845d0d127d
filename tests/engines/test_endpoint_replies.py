"""Replies of odd shapes and sizes: data with a reason, beside the good ones of the same call."""

import json
from typing import Any

import pytest

from tests.endpoints import Answer, completion, problem, serving
from tests.engines.test_endpoint import PARAMS, echo, sample, spec
from workers.engines import server as server_module
from workers.engines.endpoint import CUT, load

ODD = "odd"


def beside_a_good_one(odd: Answer) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rollout of an odd answer, and the usage of a call in which the other is good."""
    with serving(
        lambda body: odd if body["messages"][0]["content"] == ODD else echo(body)
    ) as found:
        result = sample(found, [ODD, "good"])
    assert result["rollouts"][1][0]["text"] == "good 100"
    return result["rollouts"][0][0], result["usage"]


def choices(*given: Any, **more: Any) -> Answer:
    return Answer(
        body={"choices": list(given), **more}, headers={"Content-Type": "application/json"}
    )


def message(content: Any, **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content}, "finish_reason": "stop", **more}


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (choices({"message": None, "finish_reason": "stop"}), r"choices\.0\.message is missing"),
        (choices("hello"), r"choices\.0 is missing or of another kind"),
        (choices({"text": "hi"}), r"choices\.0\.message is missing"),
        (choices(message(7)), r"choices\.0\.message\.content"),
        (choices(), "holds no choice"),
        (Answer(body="[" * 50_000, headers={"Content-Type": "application/json"}), "no JSON"),
        (choices(message([{"type": "image_url"}])), "holds no text"),
        (Answer(body={"error": {"message": "quota exceeded", "code": 429}}), "quota exceeded"),
        (Answer(body={"error": "quota exceeded"}), "quota exceeded"),
        (Answer(body={"detail": [{"msg": "quota exceeded"}]}), "quota exceeded"),
        (
            Answer(body={"error": {"message": f"nul \0 {'x' * 9999}"}}),
            "nul \N{REPLACEMENT CHARACTER} x",
        ),
    ],
)
def test_an_answer_without_a_usable_reply_is_data_with_its_reason(odd: Answer, reason: str) -> None:
    import re

    rollout, _ = beside_a_good_one(odd)
    assert re.search(reason, rollout["error"]), rollout
    assert len(rollout["error"]) <= 300
    assert "ChatCompletion" not in rollout["error"] and "{'" not in rollout["error"]


def test_an_error_s_own_words_are_told_and_not_the_object_around_them() -> None:
    rollout, _ = beside_a_good_one(problem(400, "the text is too odd"))
    assert rollout == {"error": "HTTP 400: the text is too odd"}


def test_of_a_content_in_parts_the_texts_are_the_reply() -> None:
    parts = [
        {"type": "text", "text": "Warm "},
        {"type": "thinking"},
        {"type": "text", "text": "it."},
    ]
    rollout, _ = beside_a_good_one(choices(message(parts)))
    assert rollout["text"] == "Warm it."


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "many", "completion_tokens": "7"},
        {"prompt_tokens": 1.5, "completion_tokens": -7, "total_tokens": 10**30},
        {"prompt_tokens": True, "completion_tokens": 10**30},
        [1],
        "none",
    ],
)
def test_numbers_of_tokens_that_are_none_are_not_known(usage: Any) -> None:
    rollout, used = beside_a_good_one(choices(message("hi"), usage=usage))
    assert (rollout["text"], rollout["tokens"]) == ("hi", None)
    assert (used["prompt_tokens"], used["completion_tokens"]) == (5, 3)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, "stop"), (7, "stop"), ("s" * 99, "s" * 20), ("\0", "stop"), ("length", "length")],
)
def test_a_finish_reason_is_one_that_the_database_can_hold(given: Any, kept: str) -> None:
    rollout, _ = beside_a_good_one(choices({**message("hi"), "finish_reason": given}))
    assert rollout["finish_reason"] == kept


def test_a_chat_where_a_text_was_asked_for_is_no_reply() -> None:
    with serving(lambda body: choices(message("hi"))) as found:
        (reply,) = chat(found.url, "a text")
    assert "not shaped as a text's completion: choices.0.text" in reply["error"]
    with serving(lambda body: choices({"text": " hi"})) as found:
        (reply,) = chat(found.url, "a text")
    assert reply["text"] == "hi"


@pytest.mark.parametrize("value", [float("-inf"), float("nan"), None])
def test_an_alternative_without_a_probability_is_left_out(value: float | None) -> None:
    token = {"token": "safe", "logprob": None, "top_logprobs": []}
    top = [{"token": "safe", "logprob": 1e-7}, {"token": "unsafe", "logprob": value}]
    content = [{**token, "top_logprobs": top}, {**token, "top_logprobs": None}]
    rollout, _ = beside_a_good_one(choices(message("safe", logprobs={"content": content})))
    assert rollout["top"] == [[{"token": "safe", "logprob": 0.0}]]
    json.dumps(rollout, allow_nan=False)


@pytest.mark.parametrize("odd", ["many", {"content": "x"}, {"content": [{"token": 1}]}, []])
def test_log_probabilities_of_another_shape_are_none(odd: Any) -> None:
    rollout, _ = beside_a_good_one(choices(message("safe", logprobs=odd)))
    assert (rollout["text"], rollout["top"]) == ("safe", [])


def test_the_alternatives_of_a_text_are_read_too() -> None:
    logprobs = {"top_logprobs": [{"Yes": -0.5, "No": -1.5}, None]}
    with serving(lambda body: choices({"text": "Yes", "logprobs": logprobs})) as found:
        (reply,) = chat(found.url, "a text")
    assert reply["top"] == [[{"token": "Yes", "logprob": -0.5}, {"token": "No", "logprob": -1.5}]]


def test_a_completion_far_over_its_tokens_is_cut_and_stopped_by_length() -> None:
    rollout, _ = beside_a_good_one(completion("lorem " * 10_000))
    assert rollout["text"] == ("lorem " * 100)[: 32 * 16]
    assert (rollout["tokens"], rollout["finish_reason"]) == (None, "length")
    with serving(lambda body: completion("x" * 1_500_000)) as found:
        (reply,) = chat(found.url, [{"role": "user", "content": "a"}], max_new_tokens=100_000)
    assert reply["text"] == "x" * 1_000_000 + CUT


def test_a_body_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST_BODY", 10_000)
    rollout, used = beside_a_good_one(completion("x" * 20_000))
    assert rollout == {"error": "the answer cannot be read: it has over 10,000 bytes"}
    assert used["requests"] == 2, "it is not asked for again"


def chat(url: str, conversation: Any, **params: Any) -> list[dict[str, Any]]:
    args = {"conversations": [conversation], "seeds": [1], "params": {**PARAMS, **params}}
    replies: list[dict[str, Any]] = load(spec(url)).calls["chat"](args, print)["replies"]
    return replies
