"""A small untrained policy on disk, and children that are ended with their test."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.odd_rules import RULES
from tests.environment import BASE


class RawChild:
    """A child process spoken to by the bare protocol."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.engines.child", json.dumps(spec)],
            cwd=BASE,
            env={**os.environ, "MORA_RULES": RULES},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def send(self, request: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def frame(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def call(self, name: str, **args: Any) -> dict[str, Any]:
        """The answering frame; progress frames before it are passed over."""
        self.send({"id": 1, "call": name, "args": args})
        while "progress" in (frame := self.frame()):
            pass
        return frame

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def start_child() -> Iterator[Callable[..., RawChild]]:
    started: list[RawChild] = []

    def start(**spec: Any) -> RawChild:
        started.append(RawChild(spec))
        return started[-1]

    yield start
    for child in started:
        child.end()


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's policy before any training: the right shape, and random words."""
    import torch
    from transformers import LlamaForCausalLM

    from workers.sandbox import policy

    torch.set_num_threads(1)  # the tests' processes share the cores, and OpenMP's threads spin
    torch.manual_seed(1)
    tokenizer = policy.make_tokenizer(policy.examples(random.Random(1), 500))
    folder = tmp_path_factory.mktemp("policy") / "tiny"
    LlamaForCausalLM(policy.model_config(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
