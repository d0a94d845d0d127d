"""Model folders that a person edited or a download broke: cause and remedy, never a traceback."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaForSequenceClassification,
)

from alignment.method.errors import MoraError
from alignment.model_folders import check_template
from workers.engines.encoding import Encoder, load_tokenizer
from workers.engines.pairs import fitting
from workers.engines.reward import RewardModel
from workers.engines.sampler import Sampler
from workers.sandbox import policy

PARAMS = {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 4}
GREEDY = {**PARAMS, "temperature": 0}
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def tiny_reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random reward model with one head."""
    torch.manual_seed(1)
    tokenizer = policy.make_tokenizer(policy.examples(random.Random(1), 500))
    config = policy.model_config(tokenizer)
    config.num_labels = 1
    folder = tmp_path_factory.mktemp("reward") / "tiny"
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def sample(tiny_policy: Path, tmp_path: Path) -> Callable[..., Any]:
    """Rollouts of the policy after a change of its folder."""

    def call(change: Change, params: dict[str, Any] = PARAMS) -> Any:
        folder = changed(tiny_policy, tmp_path / "policy", change)
        return Sampler(folder, "float32").sample(["How?"], [[1]], params)

    return call


@pytest.fixture
def score(tiny_reward: Path, tmp_path: Path) -> Callable[..., Any]:
    """Scores of the reward model after a change of its folder."""

    def call(change: Change, max_length: int = 4096, completion: str = "No.") -> Any:
        folder = changed(tiny_reward, tmp_path / "reward", change)
        return reward(folder, max_length).score(["How?", "How?"], ["No.", completion])

    return call


def reward(folder: Path, max_length: int) -> RewardModel:
    spec = {"model": str(folder), "dtype": "float32", "output": "logits", "remote_code": False}
    return RewardModel({**spec, "max_length": max_length})


def changed(folder: Path, copy: Path, change: Change) -> Path:
    shutil.copytree(folder, copy)
    change(copy)
    return copy


def template(text: str) -> Change:
    return lambda folder: (folder / "chat_template.jinja").write_text(text) and None


def config(name: str = "config.json", **values: Any) -> Change:
    def change(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


def without_special_tokens(folder: Path) -> None:
    config("tokenizer_config.json", pad_token=None, eos_token=None)(folder)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)


def damaged(kind: Any) -> Change:
    """Every weight of the last layer is no number."""

    def change(folder: Path) -> None:
        model = kind.from_pretrained(folder)
        with torch.no_grad():
            model.model.norm.weight.fill_(float("nan"))
        model.save_pretrained(folder)

    return change


def smaller(kind: Any) -> Change:
    """A model of fewer tokens than the tokenizer has."""

    def change(folder: Path) -> None:
        model = kind.from_pretrained(folder)
        model.resize_token_embeddings(20)
        model.save_pretrained(folder)

    return change


BROKEN = [
    (template(""), "has no chat template; add one"),
    (template("hello"), "shows nothing of a user's message; correct it"),
    (
        template("{{ raise_exception('no such role') }}"),
        r"cannot show .*\(no such role\); leave out",
    ),
    (template("{{ messages + 1 }}"), "cannot show this conversation"),
    (
        template("{% for m in messages %}{{ m.content }"),
        r"is broken, in line 1: unexpected '}'; corr",
    ),
    (without_special_tokens, "name its pad_token or eos_token in tokenizer_config.json"),
    (
        config(hidden_size=64, head_dim=16),
        r"does not fit its weights: \S+ is \d+ x \d+, and by conf",
    ),
    (config(num_hidden_layers="two"), "cannot be loaded as a .*num_hidden_layers.*config.json"),
]


@pytest.mark.parametrize(("change", "sentence"), BROKEN)
def test_a_broken_policy_is_an_expected_failure(
    change: Change, sentence: str, sample: Callable[..., Any]
) -> None:
    with pytest.raises(MoraError, match=sentence):
        sample(change)


@pytest.mark.parametrize(("change", "sentence"), BROKEN)
def test_a_broken_reward_model_is_an_expected_failure(
    change: Change, sentence: str, score: Callable[..., Any]
) -> None:
    with pytest.raises(MoraError, match=sentence):
        score(change)


@pytest.mark.parametrize("params", [PARAMS, GREEDY])
def test_weights_that_are_no_numbers_are_told_of_a_policy(
    params: dict[str, Any], sample: Callable[..., Any]
) -> None:
    with pytest.raises(MoraError, match=r"logits of .* are not finite: its weights are damaged"):
        sample(damaged(AutoModelForCausalLM), params)


def test_likelihoods_of_weights_that_are_no_numbers_are_none(
    tiny_policy: Path, tmp_path: Path
) -> None:
    folder = changed(tiny_policy, tmp_path / "policy", damaged(AutoModelForCausalLM))
    with pytest.raises(MoraError, match=r"logits of .* are not finite"):
        Sampler(folder, "float32").likelihoods(["How?"], [["No."]])


def test_weights_that_are_no_numbers_are_told_of_a_reward_model(
    score: Callable[..., Any],
) -> None:
    with pytest.raises(MoraError, match=r"logits of .* are not finite: its weights are damaged"):
        score(damaged(AutoModelForSequenceClassification))


def test_one_exchange_that_comes_to_no_number_is_data_beside_the_others(
    tiny_reward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = reward(tiny_reward, 4096)
    monkeypatch.setattr(model, "_heads", lambda rows: [[float("inf")], [1.5]])
    long, short = model.score(["How? " * 9, "How?"], ["No."] * 2)
    assert long == {"error": "the model's outputs for it are not finite"}
    assert short == {"heads": [1.5]}


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(
    sample: Callable[..., Any], score: Callable[..., Any]
) -> None:
    sentence = r"numbers its tokens up to \d+, but the model has 20 of them"
    with pytest.raises(MoraError, match=sentence):
        sample(smaller(AutoModelForCausalLM))
    with pytest.raises(MoraError, match=sentence):
        score(smaller(AutoModelForSequenceClassification))


def test_a_text_of_no_tokens_is_data(tiny_policy: Path) -> None:
    (reply,) = Sampler(tiny_policy, "float32").chat([""], [1], PARAMS)
    assert "comes to no token" in reply["error"]


@pytest.mark.parametrize(
    ("change", "max_length", "room"),
    [
        (config(max_position_embeddings=64), 4096, 64),
        (config("tokenizer_config.json", model_max_length=48), 4096, 48),
        (config(max_position_embeddings=64), 32, 32),
    ],
)
def test_the_least_limit_of_a_reward_model_decides_what_is_too_long(
    change: Change, max_length: int, room: int, score: Callable[..., Any]
) -> None:
    short, long = score(change, max_length, "Warm the iron. " * 30)
    assert list(short) == ["heads"]
    assert f"tokens, which exceeds the context of {room} " in long["error"]


def test_a_reward_model_that_learned_its_positions_gets_no_text_beyond_them(
    tiny_policy: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(tiny_policy)
    sizes = {"n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2, "num_labels": 1}
    own = GPT2Config(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **sizes)
    GPT2ForSequenceClassification(own).save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    short, long = reward(tmp_path / "m", 4096).score(["How?"] * 2, ["No.", "Warm it. " * 50])
    assert list(short) == ["heads"] and "context of 64" in long["error"]


def test_a_template_that_fails_on_a_pair_is_told_before_training(
    tiny_policy: Path, tmp_path: Path
) -> None:
    from alignment.method.config import TrainConfig

    odd = "{% for m in messages %}{{ raise_exception('only users') if loop.index > 1 }}{% endfor %}"
    folder = changed(tiny_policy, tmp_path / "policy", template(odd))
    pair = {"prompt": "How?", "chosen": "So.", "rejected": "No."}
    with pytest.raises(MoraError, match=r"cannot show this conversation \(only users\)"):
        fitting(load_tokenizer(folder), [pair], TrainConfig())


def test_a_model_without_a_template_is_asked_by_text_all_the_same(
    tiny_policy: Path, tmp_path: Path
) -> None:
    folder = changed(tiny_policy, tmp_path / "policy", template(""))
    assert Encoder(folder, None, []).conversation("How?")


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_template_is_none_when_a_run_is_checked(tmp_path: Path, empty: str) -> None:
    (tmp_path / "chat_template.jinja").write_text(empty)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": empty}))
    with pytest.raises(MoraError, match=r"has no chat template; add its chat_template\.jinja"):
        check_template(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    check_template(tmp_path)
