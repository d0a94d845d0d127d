"""A language model with a score head, as PKU's beaver models are saved: its value is the head's at
the last token of a text.

transformers knows no class for them, so its own class loads the backbone, and the head is read from
the same safetensors.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModel

from alignment.method.errors import MoraError
from alignment.model_folders import check_score_head
from workers.engines.loading import load_model

HEAD = "score_head."


def load_end_scores(folder: Path, dtype: str) -> "EndScores":
    """The backbone and its score head from a folder; MoraError where they cannot be loaded."""
    backbone = load_model(AutoModel, folder, dtype, name="score model")
    check_score_head(folder)
    head: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            own = (key for key in weights.keys() if key.startswith(HEAD))  # noqa: SIM118
            head |= {key.removeprefix(HEAD): weights.get_tensor(key) for key in own}
    return EndScores(backbone, _linear(folder, head, backbone.get_input_embeddings()))


def _linear(folder: Path, head: dict[str, torch.Tensor], embeddings: Any) -> torch.nn.Linear:
    scores = head["weight"].shape[0]
    linear = torch.nn.Linear(embeddings.weight.shape[1], scores, bias="bias" in head)
    try:
        linear.load_state_dict(head)
    except RuntimeError as error:
        raise MoraError(
            f"The score head in {folder} does not fit its model: "
            f"{HEAD}weight is {' x '.join(map(str, head['weight'].shape))}, and the model has "
            f"{linear.in_features} numbers a token; copy the model's folder anew."
        ) from error
    return linear.to(embeddings.weight.dtype)


class EndScores(torch.nn.Module):
    """Texts of `attention_mask`, padded on the right, to `end_scores`, shape (texts, scores)."""

    def __init__(self, backbone: Any, head: torch.nn.Linear) -> None:
        super().__init__()
        self.backbone, self.score_head, self.config = backbone, head, backbone.config

    def get_input_embeddings(self) -> Any:
        return self.backbone.get_input_embeddings()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        found = self.backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        ends = attention_mask.sum(1) - 1
        last = found.last_hidden_state[torch.arange(len(ends), device=ends.device), ends]
        return SimpleNamespace(end_scores=self.score_head(last))
