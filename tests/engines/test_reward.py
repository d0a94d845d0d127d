"""The reward engine, and a model that brings its own code: run by nobody's leave but both."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytest_django import Settings
from transformers import LlamaForSequenceClassification

from alignment.method.errors import MoraError
from alignment.method.judging import RewardSettings
from tests.engines.conftest import RawChild
from workers import specs
from workers.sandbox import policy

OWN_CODE = """
from pathlib import Path
from types import SimpleNamespace

from transformers import LlamaForSequenceClassification

Path({ran!r}).touch()


class OwnReward(LlamaForSequenceClassification):
    def forward(self, *args, **kwargs):
        logits = super().forward(*args, **kwargs).logits
        return SimpleNamespace(logits=logits, rewards=logits + 100)
"""
ITEMS = {
    "prompts": ["How do I iron a shirt?"] * 2,
    "completions": ["First, warm the iron. " * 3, "No."],
}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A small random reward model with two heads, in transformers' own classes."""
    torch.manual_seed(1)
    tokenizer = policy.make_tokenizer(policy.examples(random.Random(1), 500))
    config = policy.model_config(tokenizer)
    config.num_labels, config.pad_token_id = 2, tokenizer.pad_token_id
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def own(plain: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same weights, with a class of the model's own code, as ArmoRM has one."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(plain.parent / "modules"))
    config = json.loads((plain / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "own.OwnReward"}
    (plain / "config.json").write_text(json.dumps(config))
    (plain / "own.py").write_text(OWN_CODE.format(ran=str(plain.parent / "ran")))
    return plain


def test_a_model_gives_all_its_heads_for_each_exchange(
    start_child: Callable[..., RawChild], plain: Path, settings: Settings
) -> None:
    settings.MODEL_ROOTS = [plain.parent]
    child = start_child(**specs.for_reward(RewardSettings(model=str(plain))))
    assert "ready" in child.frame()
    found = child.call("score", **ITEMS)["result"]
    assert [len(item["heads"]) for item in found] == [2, 2]
    assert found[0] != found[1]
    alone = child.call("score", prompts=ITEMS["prompts"][1:], completions=ITEMS["completions"][1:])
    assert alone["result"][0]["heads"] == pytest.approx(found[1]["heads"], abs=1e-5)


def test_a_models_own_code_runs_when_operator_and_judge_both_say_so(
    start_child: Callable[..., RawChild], own: Path, settings: Settings
) -> None:
    ran = own.parent / "ran"
    settings.MODEL_ROOTS = [own.parent]
    asked = RewardSettings(model=str(own), output="rewards", remote_code=True)
    with pytest.raises(MoraError, match="which the operator has not allowed: set MORA_REMOTE_CODE"):
        specs.for_reward(asked)

    settings.REMOTE_CODE = True
    silent = specs.for_reward(asked.model_copy(update={"remote_code": False}))
    child = start_child(**silent)
    assert "ready" in child.frame()
    assert "has no 'rewards'" in child.call("score", **ITEMS)["error"]["message"]
    assert not ran.exists(), "code ran that the judge did not ask for"

    child = start_child(**specs.for_reward(asked))
    assert "ready" in child.frame()
    found = child.call("score", **ITEMS)["result"]
    assert ran.exists()
    assert all(head > 50 for item in found for head in item["heads"]), "the model's own output"
