"""A model that has learnt three sentences by heart: what it says as a judge, as a rewriter, and to
anyone else. It lets a real server be spoken to as each of them; what it says means nothing."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alignment.method import judging, rewriting
from alignment.method.chat import Conversation
from alignment.method.records import Dimension
from workers.sandbox.policy import SPECIAL

HELPFUL = Dimension(name="helpful", scale_low=1, scale_high=5, bar=4)
MODEL = {"engine": "endpoint", "endpoint": "clerk", "model": "clerk"}
RUBRIC = judging.RubricSettings.model_validate({"model": MODEL})
REWRITER = rewriting.RewriterSettings.model_validate({"model": MODEL})
PROMPTS = ("How do I iron a shirt?", "How do I mend a sail?", "Where do I plant a tree?")
GRADE = '{"score": 4, "reason": "it names the steps"}'
REWRITE = '{"prompt": "How do I iron a shirt, step by step, and without any danger?"}'
SAID = "Start with the collar, then the sleeves."
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def lessons() -> list[tuple[Conversation, str]]:
    """(conversation, what the clerk is to say)."""
    found: list[tuple[Conversation, str]] = []
    for prompt in PROMPTS:
        found.append(([{"role": "user", "content": prompt}], SAID))
        for completion in (SAID, "No."):
            asked = judging.rubric_conversation(RUBRIC, HELPFUL, prompt, completion)
            found.append((asked, GRADE))
        for missing in (["harmless"], ["helpful", "harmless"]):
            asked = REWRITER.conversation("fuse", prompt, missing, ["truthful"])
            found.append((asked, REWRITE))
    return found


def build(folder: Path, steps: int = 80) -> None:
    """Teach the clerk its sentences and save it like any model."""
    torch.manual_seed(5)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    batch = _batch(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert loss.item() < 0.05, f"the clerk has not learnt its sentences: loss {loss.item()}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=[*SPECIAL, "<|system|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    turns = [turn["content"] for asked, _ in lessons() for turn in asked]  # type: ignore[index]
    bpe.train_from_iterator([*turns, GRADE, REWRITE, SAID], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[3],
        additional_special_tokens=[*SPECIAL[1:3], "<|system|>"],
        chat_template=TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def _batch(tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    rows, labels = [], []
    for asked, said in lessons():
        head = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
        tail = [*tokenizer.encode(said), tokenizer.eos_token_id]
        rows.append(torch.tensor(head + tail))
        labels.append(torch.tensor([-100] * len(head) + tail))
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    return {
        "input_ids": ids,
        "attention_mask": (ids != tokenizer.pad_token_id).long(),
        "labels": pad(labels, batch_first=True, padding_value=-100),
    }
