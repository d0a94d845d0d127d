"""The endpoint engine against a real `vllm serve` on loopback: as sampler, judge and rewriter."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as console

from alignment.method import fusion
from alignment.method.config import SamplingConfig
from alignment.method.errors import MoraError
from alignment.models import Dimension, Judge, Policy
from mora_web.endpoints import Endpoint
from tests.vllm import clerk
from tests.vllm.conftest import MEMORY, Ask
from workers import judging, rewriters, specs

KEY = "a-key-of-this-test"
PARAMS = SamplingConfig().model_dump()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a vLLM server that serves the clerk, with a key."""
    folder = tmp_path_factory.mktemp("clerk") / "model"
    clerk.build(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` runs; the command itself asks for metadata that the CPU build lacks.
    command = [console.VLLM_PYTHON, "-m", "vllm.entrypoints.openai.api_server"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "clerk"]
    options += ["--dtype", "float32", "--gpu-memory-utilization", str(MEMORY), "--api-key", KEY]
    log = (folder.parent / "serve.log").open("w")
    server = subprocess.Popen(
        [*command, "--model", str(folder), *options],
        env={**os.environ, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _await(f"http://127.0.0.1:{port}/health", server, folder.parent / "serve.log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def _await(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"vllm serve did not start: {log.read_text()[-3000:]}")


@pytest.fixture(autouse=True)
def listed(served: str, settings: "pytest.FixtureRequest", monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is on the operator's list, its key in a variable."""
    settings.ENDPOINTS = {"clerk": Endpoint(url=served, key_variable="CLERK_KEY")}  # type: ignore[attr-defined]
    monkeypatch.setenv("CLERK_KEY", KEY)


def policy() -> Policy:
    return Policy(name="clerk", endpoint="clerk", served_as="clerk")


def test_as_a_sampler(ask: Ask) -> None:
    spec = specs.for_sampling(policy(), PARAMS)
    args = {
        "prompts": list(clerk.PROMPTS),
        "seeds": [list(range(16))] * 3,
        "params": {"temperature": 0.3, "top_p": 1.0, "max_new_tokens": 32},
    }
    found = ask(spec, "sample", args)
    texts = {rollout["text"] for row in found["rollouts"] for rollout in row}
    assert clerk.SAID in texts
    assert [len(row) for row in found["rollouts"]] == [16] * 3
    assert found["usage"]["requests"] == 48 and found["usage"]["completion_tokens"] > 48
    again = ask(spec, "sample", args)
    assert again["rollouts"] == found["rollouts"]  # by their seeds

    long = {**args, "prompts": ["very " * 3000, clerk.PROMPTS[0]], "seeds": [[1], [1]]}
    left_out, kept = ask(spec, "sample", long)["rollouts"]
    assert "context length" in left_out[0]["error"]
    assert kept[0]["text"]


def test_as_a_rubric_judge(ask: Ask) -> None:
    dimension = Dimension(name="helpful", scale_low=1, scale_high=5, bar=4)
    settings = clerk.RUBRIC.model_dump(mode="json")
    judge = Judge(name="clerk", dimension=dimension, engine="rubric", settings=settings)
    prompts = [clerk.PROMPTS[0], clerk.PROMPTS[1]]
    found = judging.judge(ask, judge, prompts, [clerk.SAID, "No."])
    assert (
        found.judgements == [{"raw": 4.0, "reply": clerk.GRADE, "reason": "it names the steps"}] * 2
    )
    assert found.usage["requests"] == 2
    # A first-line judge cannot read the same reply: it is kept, and is no score.
    judge.settings = {**settings, "parse": "first_line"}
    (unread,) = judging.judge(ask, judge, prompts[:1], [clerk.SAID]).judgements
    assert (unread["raw"], unread["reply"]) == (None, clerk.GRADE)


def test_as_a_rewriter(ask: Ask) -> None:
    greedy = clerk.REWRITER.model_copy(update={"temperature": 0.0})
    rewriter = rewriters.ModelRewriter(ask, greedy)
    asked = rewriters.Asked(
        prompt=clerk.PROMPTS[0], missing=["harmless"], attained=["truthful"], seed=1
    )
    (reply,) = rewriter.replies([asked], "fuse", 0)
    parsed = fusion.parse_reply(reply.text, form=rewriter.form)
    assert parsed.text == json.loads(clerk.REWRITE)["prompt"]
    checks = fusion.check_rewrite(
        "fuse",
        original=asked.prompt,
        rewrite=parsed.text,
        limits=fusion.Limits(),
        private_texts=rewriter.private_texts,
    )
    assert fusion.accepted(checks), checks
    assert rewriter.usage["completion_tokens"] > 0


def test_a_wrong_key_and_an_unknown_model_are_said(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = {"prompts": ["Hi"], "seeds": [[1]], "params": PARAMS}
    other = Policy(name="other", endpoint="clerk", served_as="nobody")
    with pytest.raises(MoraError, match="does not know the model 'nobody'"):
        ask(specs.for_sampling(other, PARAMS), "sample", args)
    monkeypatch.setenv("OTHER_KEY", "wrong")
    spec = {**specs.for_sampling(policy(), PARAMS), "key_variable": "OTHER_KEY"}
    with pytest.raises(MoraError, match="refuses the key in OTHER_KEY"):
        ask(spec, "sample", args)
