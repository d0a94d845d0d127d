"""The `reward` engine: a reward model through transformers, of sequence classification or with a
score head.

Gives every head's raw output for a prompt and its completion; which heads count, and on what
scale, is the judge's business.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification

from alignment.method.errors import MoraError
from workers.engines.encoding import Encoder, stated_pad
from workers.engines.end_scores import load_end_scores
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
        self.model = self._model(spec["dtype"], spec["remote_code"])
        rooms = [spec["max_length"], context_of(self.model)]
        self.encoder = Encoder(self.folder, embeddings_of(self.model), rooms)
        self.tokenizer = self.encoder.tokenizer
        # Of some kinds (RoBERTa) the config counts positions that no text can have.
        self.encoder.room = min(self.encoder.room, self.tokenizer.model_max_length)
        self.config = self.model.config.get_text_config()
        self.pad = stated_pad(self.config)
        self.model.to(self.device).eval()

    def _model(self, dtype: str, remote_code: bool) -> Any:
        if self.output == "end_scores":
            return load_end_scores(self.folder, dtype)
        kind, name = AutoModelForSequenceClassification, "reward model"
        return load_model(kind, self.folder, dtype, name=name, remote_code=remote_code)

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
        pad = self.pad
        if pad is None:
            # The model pools the rightmost token that is not this one.
            pad = self.config.pad_token_id = _no_end(rows, len(self.tokenizer))
        tensors = [torch.tensor(row) for row in rows]
        ids = pad_sequence(tensors, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        found = self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device))
        output = getattr(found, self.output, None)
        if output is None:
            raise MoraError(f"The model's output has no {self.output!r}; set `output` to logits.")
        heads: list[list[float]] = output.float().reshape(len(rows), -1).tolist()
        return heads


def _no_end(rows: list[list[int]], tokens: int) -> int:
    """A token, of so many, that no row ends in: padding by it leaves every row's end what it is.

    One in no row at all where there is one, for a model's own code may look for the first.
    """
    inside = {token for row in rows for token in row}
    ends = {row[-1] for row in rows}
    return min(range(tokens), key=lambda token: (token in ends, token in inside))
