"""Reward models through vLLM's pooling: the raw logits of transformers, within a tolerance."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alignment.method.judging import RewardSettings
from tests.vllm.conftest import Ask
from workers import specs
from workers.engines.reward import RewardModel

# Of logits up to about 30 in float32; seen are differences up to 1e-5.
TOLERANCE = 1e-4
ITEMS = {
    "prompts": ["How do I iron a shirt?", "How?", "very " * 2000],
    "completions": ["You need a warm iron. It takes five minutes.", "No.", "x"],
}


@pytest.mark.parametrize("heads", [1, 3])
def test_logits_are_those_of_transformers(
    heads: int, ask: Ask, reward_folder: Callable[[int], Path]
) -> None:
    folder = reward_folder(heads)
    asked = {"model": str(folder), "heads": tuple(range(heads)), "max_length": 512}
    theirs = RewardModel(specs.for_reward(RewardSettings.model_validate(asked)))
    expected = theirs.score(**ITEMS)
    spec = specs.for_reward(RewardSettings.model_validate({**asked, "engine": "vllm"}))
    found = ask(spec, "score", ITEMS)
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert len(one["heads"]) == heads
        assert one["heads"] == pytest.approx(other["heads"], abs=TOLERANCE)
    assert max(abs(h) for h in expected[0]["heads"]) > 1, "no activation has squeezed them"
    assert "context of 512" in found[2]["error"] and "context of 512" in expected[2]["error"]
