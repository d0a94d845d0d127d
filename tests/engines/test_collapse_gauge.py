"""The collapse gauge: repeated n-grams by hand, and a policy that repeats itself beside one that
does not."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from workers.engines import collapse
from workers.engines.collapse import gauge, repeated

PROBES = ["How do I iron a shirt?", "How do I bake bread at home?"]


@pytest.mark.parametrize(
    ("tokens", "share"),
    [
        ([], 0.0),
        ([1, 2], 0.0),
        ([1, 2, 3], 0.0),
        ([1, 2, 3, 4, 5], 0.0),
        ([7, 7, 7, 7, 7], 2 / 3),  # 777 three times
        ([1, 2, 3, 1, 2, 3], 1 / 4),  # 123 231 312 123
    ],
)
def test_repeated_three_grams_are_counted_after_their_first(
    tokens: list[int], share: float
) -> None:
    assert repeated(tokens) == pytest.approx(share)


def test_an_untrained_policy_is_near_uniform_and_a_stuck_one_repeats(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collapse, "NEW_TOKENS", 48)
    fresh = gauge(tiny_policy, PROBES, 1)
    model = LlamaForCausalLM.from_pretrained(tiny_policy)
    assert fresh["entropy"] == pytest.approx(math.log(model.config.vocab_size), rel=0.1)
    assert fresh["repeated_ngrams"] is not None and fresh["repeated_ngrams"] < 0.3
    assert gauge(tiny_policy, PROBES, 1) == fresh

    with torch.no_grad():  # whatever came before, the next token is number 7
        model.model.embed_tokens.weight.fill_(1)
        model.model.embed_tokens.weight[7] = 10
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.fill_(0)
            layer.mlp.down_proj.weight.fill_(0)
    shutil.copytree(tiny_policy, tmp_path, dirs_exist_ok=True)
    model.save_pretrained(tmp_path)
    stuck = gauge(tmp_path, PROBES, 1)
    assert stuck["entropy"] == pytest.approx(0, abs=1e-6)
    assert stuck["stopped_by_length"] == 1
    assert stuck["repeated_ngrams"] is not None and stuck["repeated_ngrams"] > 0.9


def test_a_short_context_leaves_half_of_it_for_the_probe(tiny_policy: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_policy, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    found = gauge(tmp_path, PROBES, 1)
    assert found["entropy"] is not None and found["stopped_by_length"] is not None


def test_without_a_probe_that_fits_there_are_no_numbers(tiny_policy: Path) -> None:
    none = {"entropy": None, "repeated_ngrams": None, "stopped_by_length": None}
    assert gauge(tiny_policy, ["How? " * 2000], 1) == none
