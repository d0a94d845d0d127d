"""The collapse gauge: has training made the policy repeat itself or talk without end?

Three numbers on one rollout per probe. What is too much is for the reader to judge, beside the
same numbers of the policy before, on the same probes and seeds.
"""

from pathlib import Path

import torch

from alignment.method.seeds import seed_of
from workers.engines.sampler import Sampler

NEW_TOKENS = 256  # at most half of the context
NGRAM = 3


def gauge(folder: Path, probes: list[str], seed: int) -> dict[str, float | None]:
    """Entropy (nats a token), share of repeated 3-grams, share of rollouts stopped by length.

    Means over one rollout per probe at temperature 1; a probe too long for the policy's context
    is left out, and without any the numbers are None.
    """
    sampler = Sampler(folder, "float32")
    unfit, room = sampler.encoder.unfit, sampler.encoder.room
    new = NEW_TOKENS if room is None else min(NEW_TOKENS, room // 2)
    fitting = [text for text in probes if not unfit(sampler.encode(text), new)]
    if not fitting:
        return {"entropy": None, "repeated_ngrams": None, "stopped_by_length": None}
    params = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": new}
    seeds = [[seed_of(seed, "probe", text)] for text in fitting]
    rollouts = [group[0] for group in sampler.sample(fitting, seeds, params)]
    tokens = [sampler.tokenizer.encode(r["text"], add_special_tokens=False) for r in rollouts]
    stopped = [r["finish_reason"] == "length" for r in rollouts]
    pairs = zip(fitting, tokens, strict=True)
    return {
        "entropy": _mean([_entropy(sampler, text, answer) for text, answer in pairs]),
        "repeated_ngrams": _mean([repeated(answer) for answer in tokens]),
        "stopped_by_length": _mean([float(is_cut) for is_cut in stopped]),
    }


def repeated(tokens: list[int]) -> float:
    """Share of the sequence's 3-grams that occurred before; 0 when it has none."""
    grams = [tuple(tokens[at : at + NGRAM]) for at in range(len(tokens) - NGRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


@torch.inference_mode()
def _entropy(sampler: Sampler, prompt: str, answer: list[int]) -> float:
    """Mean entropy of the policy's next-token distribution over the answer and its end."""
    head = sampler.encode(prompt)
    logits = sampler.model(torch.tensor([head + answer], device=sampler.device)).logits
    logp = torch.log_softmax(logits[0, len(head) - 1 :].float(), dim=-1)
    return float(-(logp.exp() * logp).sum(-1).mean())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
