"""The `reward` engine: a sequence-classification reward model through transformers.

Gives every head's raw output for a prompt and its completion; which heads count, and on what
scale, is the judge's business.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForSequenceClassification

from alignment.method.errors import MoraError
from workers.engines.encoding import Encoder
from workers.engines.engine import Engine, Spec
from workers.engines.loading import context_of, embeddings_of, load_model, scored
from workers.engines.sampler import make_deterministic

BATCH = 32  # exchanges, of like length


def load(spec: Spec) -> Engine:
    """Load the model in `spec["model"]`. Raises MoraError on a folder that may not be loaded."""
    torch.set_num_threads(spec.get("threads", 2))
    make_deterministic()
    model = RewardModel(spec)
    return Engine(
        version=f"transformers {transformers.__version__}",
        calls={"score": lambda args, progress: model.score(**args)},
    )


class RewardModel:
    """The model with its tokenizer, on the GPU where there is one."""

    def __init__(self, spec: Spec) -> None:
        self.folder = Path(spec["model"])
        self.output = spec["output"]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = load_model(
            AutoModelForSequenceClassification,
            self.folder,
            spec["dtype"],
            name="reward model",
            remote_code=spec["remote_code"],
        )
        rooms = [spec["max_length"], context_of(self.model)]
        self.encoder = Encoder(self.folder, embeddings_of(self.model), rooms)
        self.tokenizer = self.encoder.tokenizer
        # Of some kinds (RoBERTa) the config counts positions that no text can have.
        self.encoder.room = min(self.encoder.room, self.tokenizer.model_max_length)
        self.tokenizer.padding_side = "right"
        # Where the sequence ends is found by the padding token.
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.model.to(self.device).eval()

    def score(self, prompts: list[str], completions: list[str]) -> list[dict[str, Any]]:
        """Per item {"heads": raw outputs}, or {"error": why}. Raises MoraError where no item
        comes to numbers."""
        items = zip(prompts, completions, strict=True)
        encoded = [self.encoder.exchange(*item) for item in items]
        found: list[dict[str, Any]] = [{"error": self.encoder.unfit(t, 0)} for t in encoded]
        fitting = (i for i, one in enumerate(found) if not one["error"])
        order = sorted(fitting, key=lambda i: -len(encoded[i]))
        heads: list[list[float]] = []
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            heads += self._heads([encoded[i] for i in batch])
        for i, own in zip(order, scored(self.folder, heads), strict=True):
            found[i] = own
        return found

    @torch.inference_mode()
    def _heads(self, rows: list[list[int]]) -> list[list[float]]:
        batch = self.tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self.device)
        output = getattr(self.model(**batch), self.output, None)
        if output is None:
            raise MoraError(f"The model's output has no {self.output!r}; set `output` to logits.")
        heads: list[list[float]] = output.float().reshape(len(rows), -1).tolist()
        return heads
