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
from workers.engines.encoding import up_to_pooled
from workers.engines.reward import RewardModel
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


LENGTHS = (1, 40, 7, 3, 40, 12)


def without_pad(plain: Path, stated: int | None) -> Path:
    """The tokenizer names no token to pad with and its template ends in the one that ends a text;
    the model's config states one or none."""
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps(config | {"pad_token_id": stated}))
    file = plain / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token": None}))
    template = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    (plain / "chat_template.jinja").write_text(template)
    return plain


def end_of(folder: Path) -> int:
    return int(json.loads((folder / "config.json").read_text())["eos_token_id"])


@pytest.mark.parametrize("stated", ["none", "the end", "another"])
def test_the_value_is_read_where_the_model_alone_reads_it_whatever_the_batch(
    plain: Path, stated: str
) -> None:
    pad = {"none": None, "the end": end_of(plain), "another": 1}[stated]
    folder = without_pad(plain, pad)
    model = LlamaForSequenceClassification.from_pretrained(folder)
    reward = RewardModel(specs.for_reward(RewardSettings(model=str(folder))))
    assert model.config.pad_token_id == pad and reward.tokenizer.pad_token_id == end_of(folder)
    prompts, completions = ["How do I iron?"] * len(LENGTHS), ["Warm it. " * n for n in LENGTHS]
    rows = [reward.encoder.exchange(*item) for item in zip(prompts, completions, strict=True)]
    assert all(row[-1] == end_of(folder) for row in rows)
    with torch.inference_mode():
        alone = [model(torch.tensor([row])).logits[0].tolist() for row in rows]
        cut = [model(torch.tensor([row[:-1]])).logits[0].tolist() for row in rows]
    found = [item["heads"] for item in reward.score(prompts, completions)]
    one = [reward.score([p], [c])[0]["heads"] for p, c in zip(prompts, completions, strict=True)]
    for i, expected in enumerate(alone):
        assert found[i] == pytest.approx(expected, abs=1e-5)
        assert one[i] == pytest.approx(expected, abs=1e-5)
        is_next_to_last = expected == pytest.approx(cut[i], abs=1e-5)
        assert is_next_to_last == (stated == "the end")


def test_an_engine_that_pools_the_last_token_is_given_no_padding_after_it() -> None:
    assert up_to_pooled([5, 2, 7, 2, 2], 2) == [5, 2, 7]
    assert up_to_pooled([5, 2], None) == [5, 2]
    assert up_to_pooled([2, 2], 2) == [2, 2], "there is nothing else to read"


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
