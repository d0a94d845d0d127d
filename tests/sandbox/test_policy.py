"""The sandbox policy is built from its seed alone and saved like any Hugging Face model."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from alignment.model_folders import check_model
from workers.engines.sampler import Sampler
from workers.sandbox import policy
from workers.sandbox.answers import answer
from workers.sandbox.world import ACTIVITIES, prompts


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)  # the tests' processes share the cores, and OpenMP's threads spin
    monkeypatch.setattr(policy, "STEPS", 20)
    monkeypatch.setattr(policy, "BATCH", 4)


def test_the_same_seed_builds_the_same_bytes_and_reports_its_steps(
    short: None, tmp_path: Path
) -> None:
    marks: list[dict[str, Any]] = []
    first = policy.build(str(tmp_path / "a"), 1, marks.append)
    again = policy.build(str(tmp_path / "b"), 1, marks.append)
    other = policy.build(str(tmp_path / "c"), 2, marks.append)
    assert first["sha256"] == again["sha256"] != other["sha256"]
    assert 500_000 < first["parameters"] < 1_500_000
    assert [mark["step"] for mark in marks] == [10, 20] * 3
    one, two = (tmp_path / name / "tokenizer.json" for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    check_model(tmp_path / "a")
    sampler = Sampler(tmp_path / "a", "float32")
    (rollout,) = sampler.sample(
        ["How do I iron a shirt?"], [[1]], {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 4}
    )[0]
    assert rollout["tokens"] <= 4


def test_the_tokenizer_gives_back_any_text_and_is_saved_with_its_template(tmp_path: Path) -> None:
    policy.make_tokenizer(policy.examples(random.Random(1), 500)).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    texts = [activity.name for activity in ACTIVITIES] + ["Größe, 3 °C?\n\N{SNAKE}  two  spaces"]
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    turn = [{"role": "user", "content": "Hi"}]
    ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
    assert tokenizer.convert_ids_to_tokens(ids)[-2:] == ["<|end|>", "<|assistant|>"]


def test_an_answer_fits_the_demos_limit_of_new_tokens() -> None:
    rng = random.Random(3)
    tokenizer = policy.make_tokenizer(policy.examples(rng, 2000))
    asked = prompts(5, {"helpful": 100, "safety": 100, "mixed": 100})
    longest = max(len(tokenizer.encode(answer(rng, p.text))) for p in asked)
    assert longest < 64
