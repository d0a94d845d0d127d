"""The `vllm-reward` engine: a sequence-classification reward model through vLLM's pooling.

The raw logits are asked for, without the activation that vLLM applies by itself.
"""

from pathlib import Path
from typing import Any

from workers.engines.encoding import Encoder
from workers.engines.engine import Engine, Spec
from workers.engines.vllm_sampler import start, version


def load(spec: Spec) -> Engine:
    """Load the model in `spec["model"]`. Raises MoraError on a folder that may not be loaded."""
    model = VllmRewardModel(spec)
    return Engine(
        version=f"vllm {version()}",
        calls={"score": lambda args, progress: model.score(**args)},
    )


class VllmRewardModel:
    def __init__(self, spec: Spec) -> None:
        folder = Path(spec["model"])
        self.llm = start({**spec, "max_length": None}, runner="pooling")
        room = min(spec["max_length"], self.llm.model_config.max_model_len)
        self.encoder = Encoder(folder, room)

    def score(self, prompts: list[str], completions: list[str]) -> list[dict[str, Any]]:
        """Per item {"heads": raw outputs}, or {"error": why}."""
        import vllm

        items = zip(prompts, completions, strict=True)
        encoded = [self.encoder.exchange(*item) for item in items]
        found: list[dict[str, Any]] = [{"error": self.encoder.too_long(t, 0)} for t in encoded]
        fitting = [i for i, one in enumerate(found) if not one["error"]]
        outputs = self.llm.encode(
            [{"prompt_token_ids": encoded[i]} for i in fitting],
            pooling_params=vllm.PoolingParams(use_activation=False),
            pooling_task="classify",
            use_tqdm=False,
        )
        for i, output in zip(fitting, outputs, strict=True):
            found[i] = {"heads": output.outputs.data.float().reshape(-1).tolist()}
        return found
