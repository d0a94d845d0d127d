"""Models with a score head, as PKU's beaver models are saved: the value at the last token."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from django.contrib.auth.models import User
from pytest_django import Settings
from safetensors.torch import save_file
from transformers import LlamaModel

from alignment.method.errors import MoraError
from alignment.method.judging import RewardSettings
from alignment.models import Judge
from alignment.services import judges, readiness
from tests.builders import make_project
from workers import specs
from workers.engines.reward import RewardModel
from workers.sandbox import policy

PROMPTS = ["How do I iron a shirt?"] * 4
COMPLETIONS = ["No.", "First, warm the iron. " * 9, "Warm it.", "First, warm the iron. " * 3]


@pytest.fixture
def make_beaver(tmp_path: Path) -> Callable[..., tuple[Path, LlamaModel, torch.nn.Linear]]:
    """A small random backbone and score head, saved in one file or in several."""

    def make(
        *, bias: bool, shards: int = 1, **changes: Any
    ) -> tuple[Path, LlamaModel, torch.nn.Linear]:
        torch.manual_seed(1)
        tokenizer = policy.make_tokenizer(policy.examples(random.Random(1), 500))
        config = policy.model_config(tokenizer)
        model, head = LlamaModel(config).eval(), torch.nn.Linear(config.hidden_size, 1, bias=bias)
        tensors = {f"model.{name}": weight for name, weight in model.state_dict().items()}
        tensors |= {f"score_head.{name}": weight for name, weight in head.state_dict().items()}
        folder = tmp_path / "beaver"
        tokenizer.save_pretrained(folder)
        told = config.to_dict() | {"architectures": ["LlamaForScore"], "score_dim": 1} | changes
        (folder / "config.json").write_text(json.dumps(told))
        files = {name: f"model-{i % shards}.safetensors" for i, name in enumerate(tensors)}
        for file in set(files.values()):
            own = {name: tensors[name].contiguous() for name in tensors if files[name] == file}
            save_file(own, folder / file, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": files}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return folder, model, head

    return make


def reward(folder: Path) -> RewardModel:
    return RewardModel(specs.for_reward(RewardSettings(model=str(folder), output="end_scores")))


@pytest.mark.parametrize(("bias", "shards"), [(True, 3), (False, 1)])
@torch.inference_mode()
def test_the_value_is_the_heads_at_the_last_token_of_each_text(
    make_beaver: Callable[..., Any], bias: bool, shards: int
) -> None:
    folder, model, head = make_beaver(bias=bias, shards=shards)
    scorer = reward(folder)
    found = [item["heads"] for item in scorer.score(PROMPTS, COMPLETIONS)]
    for prompt, completion, values in zip(PROMPTS, COMPLETIONS, found, strict=True):
        tokens = torch.tensor([scorer.encoder.exchange(prompt, completion)])
        last = model(tokens).last_hidden_state[0, -1]
        assert values == pytest.approx(head(last).tolist(), abs=1e-5)
    assert len({round(value[0], 4) for value in found}) == len(COMPLETIONS)


def test_a_head_that_does_not_fit_its_model_is_told(make_beaver: Callable[..., Any]) -> None:
    folder, _, _ = make_beaver(bias=True)
    save_file({"score_head.weight": torch.ones(1, 5)}, folder / "z.safetensors")
    with pytest.raises(MoraError, match=r"score_head\.weight is 1 x 5, and the model has 128"):
        reward(folder)


@pytest.mark.django_db
def test_a_folder_that_cannot_give_end_scores_is_told_before_anything_is_spent(
    make_beaver: Callable[..., Any], tiny_policy: Path, owner: User, settings: Settings
) -> None:
    folder, _, _ = make_beaver(bias=True)
    project = make_project()
    row = Judge(
        project=project,
        dimension=project.dimensions.get(name="harmless"),
        name="cost",
        engine="reward",
        settings={"model": str(folder), "output": "end_scores"},
    )
    kept = judges.keep(row=row, by=owner)
    assert "no scale yet" in readiness.judge_problem(kept, "pairing")
    sentence = r"has no score_head\.weight, which gives end_scores; name a model with a score head"
    without = {"model": str(tiny_policy), "output": "end_scores"}
    with pytest.raises(MoraError, match=sentence):
        judges.edit_settings(row=kept, settings=without, by=owner)
    assert "no score_head.weight" in readiness.judge_problem(kept, "pairing")
    with pytest.raises(MoraError, match=sentence):
        reward(tiny_policy)

    normalised, _, _ = make_beaver(bias=True, do_normalize=True)
    kept.settings = {"model": str(normalised), "output": "end_scores"}
    assert "do_normalize" in readiness.judge_problem(kept, "pairing")
