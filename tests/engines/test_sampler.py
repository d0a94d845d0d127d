"""The transformers sampler: one padded batch, in the given order, the same every time."""

import json
import shutil
from pathlib import Path

import pytest

from alignment.method.errors import MoraError
from workers.engines.sampler import Sampler

SHORT, LONG = "How do I iron a shirt?", "Tell me how to plant a young tree on a rainy day. " * 3
PARAMS = {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 12}
GREEDY = {"temperature": 0, "top_p": 1.0, "max_new_tokens": 12}


@pytest.fixture
def sampler(tiny_policy: Path) -> Sampler:
    return Sampler(tiny_policy, "float32")


def test_the_same_call_gives_the_same_texts_and_another_seed_others(sampler: Sampler) -> None:
    first = sampler.sample([SHORT, LONG], [[1, 2], [3, 4]], PARAMS)
    assert sampler.sample([SHORT, LONG], [[1, 2], [3, 4]], PARAMS) == first
    assert sampler.sample([SHORT, LONG], [[1, 2], [3, 5]], PARAMS) != first


def test_each_prompt_has_one_rollout_a_seed(sampler: Sampler) -> None:
    found = sampler.sample([SHORT, LONG], [[1], [2, 3, 4]], PARAMS)
    assert [len(group) for group in found] == [1, 3]
    texts = [rollout["text"] for rollout in found[1]]
    assert len(set(texts)) == 3


def test_temperature_0_is_greedy_and_padding_does_not_change_it(sampler: Sampler) -> None:
    alone = [sampler.sample([text], [[1]], GREEDY)[0][0] for text in (SHORT, LONG, SHORT)]
    together = sampler.sample([SHORT, LONG, SHORT], [[7], [8], [9]], GREEDY)
    assert [group[0] for group in together] == alone
    assert alone[0]["text"] != alone[1]["text"]


def test_a_rollout_without_a_stop_was_stopped_by_length(sampler: Sampler) -> None:
    (rollout,) = sampler.sample([SHORT], [[1]], GREEDY)[0]
    assert (rollout["tokens"], rollout["finish_reason"]) == (12, "length")
    assert rollout["text"] and "<|" not in rollout["text"]


def test_a_stop_token_ends_the_text_and_counts_as_a_token(sampler: Sampler) -> None:
    sampler.stops = set(range(len(sampler.tokenizer)))
    (rollout,) = sampler.sample([SHORT], [[1]], GREEDY)[0]
    assert rollout == {"text": "", "tokens": 1, "finish_reason": "stop"}


def test_no_prompts_give_no_rollouts(sampler: Sampler) -> None:
    assert sampler.sample([], [], PARAMS) == []
    assert sampler.sample([SHORT], [[]], PARAMS) == [[]]


def test_a_prompt_that_leaves_no_room_is_data_beside_the_others(sampler: Sampler) -> None:
    short, long = sampler.sample([SHORT, LONG * 30], [[1], [1, 2]], GREEDY)
    assert short == sampler.sample([SHORT], [[1]], GREEDY)[0]
    assert [list(rollout) for rollout in long] == [["error"], ["error"]]
    assert "exceeds the context of 1024" in long[0]["error"]
    assert "max_new_tokens" not in long[0]["error"], "fewer new ones would not make it fit"
    tokens = len(sampler.encoder.prompt(SHORT))
    (least,) = sampler.sample([SHORT], [[1]], GREEDY | {"max_new_tokens": 1024})[0]
    assert f"shorten it, or lower max_new_tokens to {1024 - tokens} or less" in least["error"]


def test_a_chat_gives_each_conversation_a_reply_and_its_first_alternatives(
    sampler: Sampler,
) -> None:
    turns = [[{"role": "user", "content": text}] for text in (SHORT, LONG, LONG * 30)]
    params = GREEDY | {"logprobs": 3}
    replies = sampler.chat(turns, [1, 2, 3], params)
    alone = sampler.sample([SHORT, LONG], [[1], [2]], GREEDY)
    assert [r["text"] for r in replies[:2]] == [group[0]["text"] for group in alone]
    first = replies[0]["top"][0]
    assert len(first) == 3 and first[0]["logprob"] >= first[1]["logprob"] > -20
    assert "context" in replies[2]["error"]
    assert sampler.chat([SHORT], [1], GREEDY)[0]["tokens"] == 12  # a text as it is


def test_a_folder_that_holds_no_known_model_is_an_expected_failure(
    tiny_policy: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_policy, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    strange = {"model_type": "unheard-of", "auto_map": {"AutoModelForCausalLM": "code.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config | strange))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(MoraError, match="cannot be loaded"):
        Sampler(tmp_path, "float32")
    assert not (tmp_path / "ran").exists()


def test_weights_that_were_cut_off_are_an_expected_failure(
    tiny_policy: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_policy, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(MoraError, match="cannot be read as safetensors; copy"):
        Sampler(tmp_path, "float32")


def test_a_model_without_a_language_model_head_is_refused(
    tiny_policy: Path, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoTokenizer, LlamaForSequenceClassification

    config = AutoConfig.from_pretrained(tiny_policy)
    config.tie_word_embeddings = False
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_policy).save_pretrained(tmp_path)
    with pytest.raises(MoraError, match=r"no weights for lm_head\.weight"):
        Sampler(tmp_path, "float32")


def test_a_tokenizer_without_a_chat_template_is_refused(tiny_policy: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_policy, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(MoraError, match="no chat template"):
        Sampler(tmp_path, "float32").sample([SHORT], [[1]], PARAMS)


def test_any_text_can_be_sampled_from(sampler: Sampler) -> None:
    found = sampler.sample(["¿Cómo mato un proceso? \N{SNAKE}", ""], [[1], [1]], PARAMS)
    assert all(isinstance(group[0]["text"], str) for group in found)


def test_likelihoods_of_answers_are_those_of_their_tokens_one_by_one(sampler: Sampler) -> None:
    import torch

    answers = ["No.", "Use a warm iron, and start with the collar."]
    (found,) = sampler.likelihoods([SHORT], [answers])
    head = sampler.encode(SHORT)
    for answer, value in zip(answers, found["logp"], strict=True):
        tail = sampler.tokenizer.encode(answer, add_special_tokens=False)
        expected = 0.0
        for i, token in enumerate(tail):
            with torch.inference_mode():
                logits = sampler.model(torch.tensor([head + tail[:i]])).logits[0, -1]
            expected += float(torch.log_softmax(logits, -1)[token])
        assert value == pytest.approx(expected, abs=1e-3)
    (long,) = sampler.likelihoods([LONG * 30], [answers])
    assert "context" in long["error"]
