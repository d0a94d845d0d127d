"""The endpoint engine against a real server on loopback that misbehaves as real ones do."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from alignment.method.errors import MoraError
from tests.endpoints import Answer, Body, Server, completion, problem, serving
from workers.engines import server as server_module
from workers.engines.endpoint import load

PARAMS = {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 16}
PAGE = "<!doctype html><html><body>Welcome</body></html>"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "FIRST_WAIT", 0.01)


def spec(url: str, **changes: Any) -> dict[str, Any]:
    given = {"endpoint": "here", "url": url, "key_variable": "", "model": "m"}
    return {**given, "concurrency": 4, "seconds": 5.0, **changes}


def sample(found: Server, prompts: list[str], n: int = 1, **changes: Any) -> dict[str, Any]:
    engine = load(spec(found.url, **changes))
    seeds = [[100 * i + j for j in range(n)] for i in range(len(prompts))]
    args = {"prompts": prompts, "seeds": seeds, "params": PARAMS}
    result: dict[str, Any] = engine.calls["sample"](args, print)
    return result


def echo(body: Body) -> Answer:
    return completion(f"{body['messages'][-1]['content']} {body['seed']}")


def first_then(first: Answer, times: int = 1) -> Callable[[Body], Answer]:
    """The first answers are odd, the rest are good."""
    left = [times]

    def answer(body: Body) -> Answer:
        left[0] -= 1
        return first if left[0] >= 0 else echo(body)

    return answer


def test_rollouts_come_in_order_with_their_seeds_and_tokens_are_counted() -> None:
    with serving(echo) as found:
        result = sample(found, ["a", "b"], n=3)
    texts = [[r["text"] for r in row] for row in result["rollouts"]]
    assert texts == [["a 0", "a 1", "a 2"], ["b 100", "b 101", "b 102"]]
    assert result["rollouts"][0][0] == {
        "text": "a 0",
        "tokens": 3,
        "finish_reason": "stop",
        "top": [],
    }
    assert result["usage"] == {
        "requests": 6,
        "retries": 0,
        "prompt_tokens": 30,
        "completion_tokens": 18,
    }
    sent = found.requests[0]
    assert (sent["model"], sent["max_tokens"], sent["top_p"]) == ("m", 16, 0.9)


def test_no_more_requests_run_side_by_side_than_allowed() -> None:
    with serving(lambda body: Answer(**{**vars(echo(body)), "after": 0.05})) as found:
        sample(found, ["a"], n=12, concurrency=3)
    assert found.most_at_once == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with serving(first_then(problem(status, "busy"), times=2)) as found:
        result = sample(found, ["a"])
    assert result["rollouts"][0][0]["text"] == "a 0"
    assert result["usage"]["retries"] == 2


def test_what_the_server_says_of_the_wait_comes_first() -> None:
    error = _error_of(problem(429, "busy", Retry_After="7"))
    assert 7 <= server_module.wait(error, 1) <= 8
    dated = _error_of(problem(429, "busy", Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"))
    assert 60 <= server_module.wait(dated, 1) <= 61
    none = _error_of(problem(429, "busy"))
    assert 0.02 <= server_module.wait(none, 3) <= 0.04
    assert server_module.wait(none, 99) <= 60


def _error_of(answer: Answer) -> Exception:
    import openai

    with serving(lambda body: answer) as found:
        client = openai.OpenAI(base_url=found.url, api_key="k", max_retries=0)
        with pytest.raises(openai.RateLimitError) as raised:
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}])
    return raised.value


def test_one_request_that_keeps_failing_is_data() -> None:
    def answer(body: Body) -> Answer:
        bad = body["messages"][0]["content"] == "bad"
        return problem(500, "cannot think") if bad else echo(body)

    with serving(answer) as found:
        result = sample(found, ["good", "bad"])
    assert result["rollouts"][0][0]["text"] == "good 0"
    assert "cannot think" in result["rollouts"][1][0]["error"]
    assert result["usage"]["requests"] == 1 + server_module.TRIES


def test_a_request_that_is_refused_for_what_it_holds_is_data_at_once() -> None:
    def answer(body: Body) -> Answer:
        long = "long" in body["messages"][0]["content"]
        return problem(400, "maximum context length is 8, lower max_tokens") if long else echo(body)

    with serving(answer) as found:
        result = sample(found, ["a", "long"])
    assert "maximum context length" in result["rollouts"][1][0]["error"]
    assert result["usage"]["requests"] == 2


def test_a_reply_without_text_is_no_empty_completion() -> None:
    def answer(body: Body) -> Answer:
        return completion(None if body["messages"][0]["content"] == "think" else "")

    with serving(answer) as found:
        thought, empty = sample(found, ["think", "say nothing"])["rollouts"]
    assert "holds no text (finish reason stop)" in thought[0]["error"]
    assert empty[0]["text"] == ""


def test_a_server_that_answers_late_is_given_up() -> None:
    slow = {**vars(completion("late")), "after": 0.4}

    def answer(body: Body) -> Answer:
        return Answer(**slow) if body["messages"][0]["content"] == "slow" else echo(body)

    with serving(answer) as found:
        result = sample(found, ["a", "slow"], seconds=0.1)
    assert "no answer in 0.1 s, 6 times" in result["rollouts"][1][0]["error"]


def test_a_parameter_that_the_server_does_not_know_is_left_out() -> None:
    def answer(body: Body) -> Answer:
        if "seed" in body:
            return problem(400, "Unsupported parameter: 'seed'")
        if "max_tokens" in body:
            return problem(400, "'max_tokens' is not supported, use 'max_completion_tokens'")
        return completion(f"{body['max_completion_tokens']}")

    with serving(answer) as found:
        result = sample(found, ["a"])
    assert result["rollouts"][0][0]["text"] == "16"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(body=PAGE), "answers with HTML.*MORA_ENDPOINTS.*/v1"),
        (Answer(status=404, body=PAGE), "answers with HTML"),
        (problem(401, "bad key"), "refuses the key in TEST_KEY.*bad key"),
        (problem(403, "no"), "refuses the key"),
        (problem(404, "The model `m` does not exist."), "does not know the model 'm'"),
        (Answer(status=302, headers={"Location": "http://x/"}), "redirects to http://x/"),
    ],
)
def test_a_server_that_nobody_could_use_ends_the_call(
    answer: Answer, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "secret")
    with serving(lambda body: answer) as found, pytest.raises(MoraError, match=sentence) as raised:
        sample(found, ["a", "b"], n=4, key_variable="TEST_KEY")
    assert "secret" not in str(raised.value)
    assert found.requests[0]["key"] == "Bearer secret"


def test_a_refused_connection_ends_the_call() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(MoraError, match=r"cannot be reached.*start it or correct"):
            sample(Server(url=url), ["a"])


def test_a_key_that_is_not_set_is_said_before_anything_is_sent() -> None:
    with pytest.raises(MoraError, match="set NO_SUCH_KEY where the workers start"):
        load(spec("http://127.0.0.1:1/v1", key_variable="NO_SUCH_KEY"))


def test_a_server_that_fails_everything_ends_the_call() -> None:
    told = r"failed all of 3 requests.*out of memory"
    broken = serving(lambda body: problem(500, "out of memory"))
    with broken as found, pytest.raises(MoraError, match=told):
        sample(found, ["a"], n=3)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            problem(400, "its context length is 8."),
            "its context length is 8: shorten it, or lower max_new_tokens",
        ),
        (problem(413, "refused"), "refused: shorten it, or lower max_new_tokens"),
        (problem(400, "stopped by our content filter."), "stopped by our content filter."),
        (
            problem(422, "`inputs` must have less than 1024 tokens. Given: 2000"),
            "`inputs` must have less than 1024 tokens. Given: 2000: shorten it, or lower"
            " max_new_tokens",
        ),
        (
            problem(400, "Please reduce the length of the messages or completion."),
            "Please reduce the length of the messages or completion: shorten it, or lower"
            " max_new_tokens",
        ),
        (
            problem(400, "Invalid prompt: it may violate our usage policy."),
            "Invalid prompt: it may violate our usage policy.",
        ),
    ],
)
def test_requests_that_are_all_refused_for_what_they_hold_are_data(
    answer: Answer, told: str
) -> None:
    with serving(lambda body: answer) as found:
        result = sample(found, ["a", "b"], n=2)
    error = {"error": f"HTTP {answer.status}: {told}"}
    assert result["rollouts"] == [[error, error], [error, error]]
    assert result["usage"]["requests"] == 4


@pytest.mark.parametrize(
    "told",
    [
        "your credit balance is too low",
        "temperature must be 1",
        "not a valid model ID",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
    ],
)
def test_what_a_server_refuses_of_every_request_ends_the_call(told: str) -> None:
    with (
        serving(lambda body: problem(400, told)) as found,
        pytest.raises(MoraError, match=f"failed all of 3 requests.*{told}"),
    ):
        sample(found, ["a"], n=3)


def test_refused_requests_hide_no_server_that_fails_all_others() -> None:
    def answer(body: Body) -> Answer:
        long = "long" in body["messages"][0]["content"]
        return problem(400, "maximum context length is 8") if long else problem(500, "no memory")

    with serving(answer) as found:
        with pytest.raises(MoraError, match=r"failed all of 2 requests.*no memory"):
            sample(found, ["a", "b", "long"])
        with pytest.raises(MoraError, match=r"failed all of 1 requests.*no memory"):
            sample(found, ["long", "a"])


@pytest.mark.parametrize("body", ["not json", {}, {"choices": []}, {"choices": None}])
def test_an_answer_without_a_choice_is_data(body: Any) -> None:
    odd = Answer(body=body, headers={"Content-Type": "application/json"})
    with serving(lambda b: odd if b["messages"][0]["content"] == "odd" else echo(b)) as found:
        result = sample(found, ["a", "odd"])
    assert result["rollouts"][0][0]["text"] == "a 0"
    assert "error" in result["rollouts"][1][0]


def test_alternatives_and_template_arguments_go_through() -> None:
    tops = [{"token": "Yes", "logprob": -0.1, "bytes": None}]
    token = {**tops[0], "top_logprobs": [*tops, {"token": "No", "logprob": -2.0, "bytes": None}]}
    answer = completion("Yes", logprobs={"content": [token], "refusal": None})
    with serving(lambda body: answer) as found:
        engine = load(spec(found.url))
        args = {
            "conversations": [[{"role": "user", "content": "a"}]],
            "seeds": [1],
            "params": {**PARAMS, "logprobs": 20},
            "template_args": [{"guideline": "be kind"}],
        }
        (reply,) = engine.calls["chat"](args, print)["replies"]
    assert reply["top"] == [[{"token": "Yes", "logprob": -0.1}, {"token": "No", "logprob": -2.0}]]
    sent = found.requests[0]
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 20)
    assert sent["chat_template_kwargs"] == {"guideline": "be kind"}
