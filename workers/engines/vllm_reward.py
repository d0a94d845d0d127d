"""The `vllm-reward` engine: a sequence-classification reward model through vLLM's pooling.

The raw logits are asked for, without the activation that vLLM applies by itself.
"""

from pathlib import Path
from typing import Any

from workers.engines.encoding import Encoder, stated_pad, up_to_pooled
from workers.engines.engine import Engine, Spec
from workers.engines.loading import scored
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
        self.folder = Path(spec["model"])
        self.llm = start({**spec, "max_length": None}, runner="pooling")
        config = self.llm.model_config
        rooms = [spec["max_length"], config.max_model_len]
        self.encoder = Encoder(self.folder, config.get_vocab_size(), rooms)
        self.pad = stated_pad(config.hf_text_config)

    def score(self, prompts: list[str], completions: list[str]) -> list[dict[str, Any]]:
        """Per item {"heads": raw outputs}, or {"error": why}."""
        import vllm

        items = zip(prompts, completions, strict=True)
        encoded = [self.encoder.exchange(*item) for item in items]
        found: list[dict[str, Any]] = [{"error": self.encoder.unfit(t, 0)} for t in encoded]
        fitting = [i for i, one in enumerate(found) if not one["error"]]
        # vLLM pools the last token, whatever it is.
        outputs = self.llm.encode(
            [{"prompt_token_ids": up_to_pooled(encoded[i], self.pad)} for i in fitting],
            pooling_params=vllm.PoolingParams(use_activation=False),
            pooling_task="classify",
            use_tqdm=False,
        )
        heads = [output.outputs.data.float().reshape(-1).tolist() for output in outputs]
        for i, own in zip(fitting, scored(self.folder, heads), strict=True):
            found[i] = own
        return found
