"""A slot's children: one model at a time, and a process that is kept takes the next one."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from workers.child import Child
from workers.slots import Slot

NEVER = threading.Event()
ASKED = {
    "prompts": ["How do I iron a shirt?"],
    "seeds": [[1]],
    "params": {"temperature": 0, "top_p": 1.0, "max_new_tokens": 4},
}


@pytest.fixture
def slot() -> Iterator[Slot]:
    made = Slot()
    yield made
    made.end_children()


def spec(engine: str, sandbox_policy: tuple[str, str], threads: int = 1) -> dict[str, Any]:
    return {"engine": engine, "model": sandbox_policy[0], "dtype": "float32", "threads": threads}


def process(child: Child) -> int:
    return child._process.pid


def test_without_a_gpu_a_model_gives_its_memory_back_and_its_process_stays(
    slot: Slot, sandbox_policy: tuple[str, str]
) -> None:
    sampling = spec("transformers", sandbox_policy)
    sampler = slot.child(sampling)
    first = sampler.call("sample", ASKED, stop=NEVER)
    trainer = slot.child(spec("trl", sandbox_policy))
    assert sampler.alive and sampler.spec is None
    assert trainer is not sampler

    again = slot.child(sampling)
    assert again is sampler and again.call("sample", ASKED, stop=NEVER) == first
    assert again.version.startswith("transformers")

    slot.child({**sampling, "dtype": "bfloat16"})
    assert process(slot.child({**sampling, "dtype": "bfloat16"})) == process(sampler)


def test_children_that_hold_no_model_do_not_pile_up(slot: Slot) -> None:
    specs = [{"engine": "rules", "code": str(i)} for i in range(6)]
    first, *others, last = [slot.child(spec) for spec in specs]
    assert [child.alive for child in (first, *others, last)] == [False] * 2 + [True] * 4
    kept = slot.child(specs[2])
    assert kept is others[1], "used again"
    slot.child(specs[0])
    assert kept.alive and not others[2].alive


def test_where_there_is_a_gpu_a_model_ends_with_its_process(
    slot: Slot, sandbox_policy: tuple[str, str]
) -> None:
    sampler = slot.child(spec("transformers", sandbox_policy))
    sampler.call("sample", ASKED, stop=NEVER)
    sampler.on_gpu = True
    slot.child({"engine": "reward", "model": "none"})
    assert not sampler.alive


def test_a_model_that_is_still_loading_is_not_waited_for(
    slot: Slot, sandbox_policy: tuple[str, str]
) -> None:
    sampler = slot.child(spec("transformers", sandbox_policy))
    slot.child(spec("transformers", sandbox_policy, threads=2))
    assert not sampler.alive


def test_a_child_that_was_killed_while_empty_is_replaced(
    slot: Slot, sandbox_policy: tuple[str, str]
) -> None:
    sampling = spec("transformers", sandbox_policy)
    sampler = slot.child(sampling)
    sampler.call("sample", ASKED, stop=NEVER)
    trainer = slot.child(spec("trl", sandbox_policy))
    sampler._process.kill()
    sampler._process.wait()
    assert slot.child(sampling) is not sampler
    assert not trainer.alive, "it was loading still"
