"""The sandbox policy: a Llama of about a million parameters, trained on the spot on seeded data.

Saved like any Hugging Face model: safetensors, tokenizer, chat template. It exercises the
machinery and is no evidence for the paper's claim.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from workers.engines.engine import Engine, Progress, Spec
from workers.engines.folders import fingerprint, publish
from workers.engines.sampler import make_deterministic
from workers.sandbox.answers import answer
from workers.sandbox.world import KINDS, prompt

STEPS, BATCH, LEARNING_RATE = 480, 16, 4e-3
# Every answer token weighs the same in every batch, or batches of short answers, the refusals,
# would weigh more than their share.
ANSWER_TOKENS = 22
SORTED = 8  # batches drawn together and cut by length, which halves the padding
SPECIAL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def load(spec: Spec) -> Engine:
    torch.set_num_threads(spec.get("threads", 2))
    make_deterministic()
    return Engine(
        version=f"transformers {transformers.__version__}",
        calls={"build": lambda args, progress: build(**args, progress=progress)},
    )


def build(directory: str, seed: int, progress: Progress) -> dict[str, Any]:
    """Train and save the policy; gives folder, sha256 of its weights, parameters, last loss."""
    rng = random.Random(f"sandbox policy {seed}")
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(examples(rng, 4000))
    model = LlamaForCausalLM(model_config(tokenizer))
    loss = _train(model, tokenizer, rng, progress)
    folder = Path(directory)

    def write(aside: Path) -> None:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)

    publish(folder, write)
    return {
        "folder": str(folder),
        "sha256": fingerprint(folder),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "loss": loss,
    }


def examples(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """(prompt, answer) drawn from the world, the three kinds alike often."""
    texts = [prompt(rng, rng.choice(KINDS)).text for _ in range(count)]
    return [(text, answer(rng, text)) for text in texts]


def make_tokenizer(corpus: list[tuple[str, str]]) -> PreTrainedTokenizerFast:
    """Byte-level BPE: the world's words are single tokens, any other text is spelled out."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1536,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((text for pair in corpus for text in pair), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[3],
        additional_special_tokens=list(SPECIAL[1:3]),
        chat_template=TEMPLATE,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def model_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    rng: random.Random,
    progress: Progress,
) -> float:
    """Next-token training on the answers; gives the last step's loss."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, total_steps=STEPS, pct_start=0.1
    )
    model.train()
    loss = torch.tensor(0.0)
    for step, pairs in enumerate(_batches(rng), 1):
        loss = model(**_batch(tokenizer, pairs), num_items_in_batch=BATCH * ANSWER_TOKENS).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            progress({"step": step, "steps": STEPS, "metrics": {"loss": loss.item()}})
    model.eval()
    return loss.item()


def _batches(rng: random.Random) -> Iterator[list[tuple[str, str]]]:
    """STEPS batches of examples of like length, in random order."""
    for start in range(0, STEPS, SORTED):
        pairs = sorted(examples(rng, SORTED * BATCH), key=lambda pair: len("".join(pair)))
        batches = [pairs[at : at + BATCH] for at in range(0, len(pairs), BATCH)]
        rng.shuffle(batches)
        yield from batches[: STEPS - start]


def _batch(
    tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]
) -> dict[str, torch.Tensor]:
    """Right-padded rows; only the answer and its end are labels."""
    user, assistant, end = (tokenizer.convert_tokens_to_ids(token) for token in SPECIAL[1:])
    heads = [[user, *tokenizer.encode(text), end, assistant] for text, _ in pairs]
    tails = [[*tokenizer.encode(text), end] for _, text in pairs]
    rows = [torch.tensor(head + tail) for head, tail in zip(heads, tails, strict=True)]
    labels = [
        torch.tensor([-100] * len(head) + tail) for head, tail in zip(heads, tails, strict=True)
    ]
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    return {
        "input_ids": ids,
        "attention_mask": (ids != tokenizer.pad_token_id).long(),
        "labels": pad(labels, batch_first=True, padding_value=-100),
    }
