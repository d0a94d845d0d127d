"""Real vLLM on the CPU, in the environment that VLLM_PYTHON names; without it nothing here runs.

`make test-vllm` makes that environment. vLLM is in child processes, transformers in this one.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environment import BASE
from workers.slots import Slot

collect_ignore_glob = [] if "VLLM_PYTHON" in os.environ else ["test_*.py"]
os.environ.setdefault("VLLM_CACHE_ROOT", str(BASE / "var" / "test" / "vllm"))
MEMORY = 0.2  # of the machine: tests share it
Ask = Callable[[dict[str, Any], str, dict[str, Any]], Any]


@pytest.fixture(autouse=True)
def little_memory(settings: Any) -> None:
    settings.VLLM_MEMORY = MEMORY


@pytest.fixture(scope="module")
def slot() -> Iterator[Slot]:
    """One slot for a module: the next model's child starts when the last one is gone."""
    made = Slot()
    made._log = lambda line: None  # type: ignore[method-assign]  # there is no stage to log for
    yield made
    made.end_children()


@pytest.fixture
def ask(slot: Slot) -> Ask:
    def call(spec: dict[str, Any], name: str, args: dict[str, Any]) -> Any:
        return slot.child(spec).call(name, args, stop=threading.Event())

    return call


@pytest.fixture(scope="session")
def policy_folder(sandbox_policy: tuple[str, str]) -> Path:
    return Path(sandbox_policy[0])


@pytest.fixture(scope="session")
def reward_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A small random reward model with so many heads."""

    def make(heads: int) -> Path:
        import torch
        from transformers import LlamaForSequenceClassification

        from workers.sandbox import policy

        torch.manual_seed(heads)
        tokenizer = policy.make_tokenizer(policy.examples(random.Random(1), 500))
        config = policy.model_config(tokenizer)
        config.num_labels = heads
        model = LlamaForSequenceClassification(config)
        torch.nn.init.normal_(model.score.weight, std=1.0)
        folder = tmp_path_factory.mktemp("reward") / str(heads)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make
