"""The child's side of the pipes: one JSON object a line, and nothing else on its stdout."""

import time
from collections.abc import Callable

from tests.engines.conftest import RawChild

Start = Callable[..., RawChild]


def test_the_first_frame_names_the_engine_and_its_version(start_child: Start) -> None:
    ready = start_child(engine="rules").frame()["ready"]
    assert ready["engine"] == "rules"
    assert ready["version"].startswith("rules on Python 3.")


def test_an_unknown_engine_is_an_expected_failure_that_names_the_known_ones(
    start_child: Start,
) -> None:
    child = start_child(engine="abacus")
    error = child.frame()["error"]
    assert error["kind"] == "MoraError"
    assert "'abacus'" in error["message"] and "transformers" in error["message"]
    assert child.process.wait(10) == 1


def test_what_a_library_prints_does_not_reach_the_frames(start_child: Start) -> None:
    child = start_child(engine="rules")
    child.frame()
    frame = child.call("judge", rule="prints", prompts=["p"], completions=["c"])
    assert frame == {"id": 1, "result": [{"raw": 1.0, "reply": "1", "reason": "printed"}]}


def test_errors_answer_their_request_and_the_child_serves_on(start_child: Start) -> None:
    child = start_child(engine="rules")
    child.frame()
    child.send({"id": 4, "call": "dance", "args": {}})
    refused = child.frame()
    assert refused["id"] == 4 and refused["error"]["kind"] == "MoraError"
    child.send({"id": 5, "call": "judge", "args": {"rule": "refusal"}})
    broken = child.frame()
    assert broken["id"] == 5 and broken["error"]["kind"] == "TypeError"
    assert "Traceback" in broken["error"]["traceback"]
    child.send("not a request")
    assert child.frame()["id"] is None
    assert child.call("judge", rule="refusal", prompts=["p"], completions=["Sure."])["id"] == 1


def test_the_end_of_stdin_ends_a_call_that_is_under_way(start_child: Start) -> None:
    child = start_child(engine="rules")
    child.frame()
    child.send({"id": 1, "call": "judge", "args": {"rule": "sleeps"} | _one_item()})
    time.sleep(0.3)
    assert child.process.poll() is None
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(2) == 0


def test_a_reader_that_is_gone_ends_the_child(start_child: Start) -> None:
    child = start_child(engine="rules")
    child.frame()
    assert child.process.stdout is not None
    child.process.stdout.close()
    child.send({"id": 1, "call": "judge", "args": {"rule": "refusal"} | _one_item()})
    assert child.process.wait(5) == 0


def test_another_engine_takes_the_place_of_the_one_before(start_child: Start) -> None:
    child = start_child(engine="rules")
    child.frame()
    child.send({"load": {"engine": "sandbox-fuser"}})
    assert child.frame()["ready"]["engine"] == "sandbox-fuser"
    assert "no call 'judge'" in child.call("judge", rule="refusal")["error"]["message"]
    child.send({"load": None})
    assert "no call 'fuse'" in child.call("fuse")["error"]["message"]
    child.send({"load": {"engine": "abacus"}})
    assert "'abacus'" in child.frame()["error"]["message"]
    assert child.process.wait(10) == 1


def _one_item() -> dict[str, list[str]]:
    return {"prompts": ["p"], "completions": ["c"]}
