"""The `transformers` sampler: rollouts of one policy, one padded batch a call.

Merged models only; adapters are merged when they are trained. The same call on the same machine
gives the same texts: the batch's one seed is a hash of its rollouts' seeds.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from alignment.method.errors import MoraError
from alignment.method.seeds import seed_of
from workers.engines.engine import Engine, Spec
from workers.engines.folders import check_model, fingerprint


def load(spec: Spec) -> Engine:
    """Load the policy in `spec["model"]`. Raises MoraError on a folder that may not be loaded."""
    torch.set_num_threads(spec.get("threads", 2))
    make_deterministic()
    sampler = Sampler(Path(spec["model"]), spec.get("dtype", "float32"))
    return Engine(
        version=f"transformers {transformers.__version__}",
        calls={
            "sample": lambda args, progress: sampler.sample(**args),
            "fingerprint": lambda args, progress: fingerprint(sampler.folder),
        },
    )


def load_model(folder: Path, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer from a folder; MoraError where it may not or cannot be loaded."""
    check_model(folder)
    kept_out = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **kept_out)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True, **kept_out
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise MoraError(
            f"{folder} cannot be loaded ({error}); name a whole model of a kind that "
            f"transformers {transformers.__version__} knows."
        ) from error
    if tokenizer.chat_template is None:
        raise MoraError(f"The tokenizer in {folder} has no chat template; add one.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def make_deterministic() -> None:
    """Deterministic algorithms where they exist, without filling every new tensor with NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class Sampler:
    """A policy with its tokenizer, on the GPU where there is one."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self.folder = folder
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model, self.tokenizer = load_model(folder, dtype)
        self.tokenizer.padding_side = "left"
        self.model.to(self.device).eval()
        self.stops = _stops(self.model, self.tokenizer)
        # What a published model's own file says of decoding must not mix with the run's.
        self.model.generation_config = GenerationConfig()

    def sample(
        self, prompts: list[str], seeds: list[list[int]], params: dict[str, Any]
    ) -> list[list[dict[str, Any]]]:
        """Per prompt, one rollout a seed: text, tokens (the stop token counts), finish_reason.

        Raises MoraError naming a prompt that leaves no room for `max_new_tokens`.
        """
        encoded = [self.encode(prompt) for prompt in prompts]
        room = getattr(self.model.config, "max_position_embeddings", None)
        for prompt, tokens in zip(prompts, encoded, strict=True):
            _check_room(prompt, len(tokens), room, params["max_new_tokens"])
        rows = [(i, j) for i in range(len(prompts)) for j in range(len(seeds[i]))]
        rows.sort(key=lambda row: -len(encoded[row[0]]))
        torch.manual_seed(seed_of(*(seed for group in seeds for seed in group)))
        outputs = self._generate([encoded[i] for i, _ in rows], params) if rows else []
        found = dict(zip(rows, outputs, strict=True))
        return [[found[i, j] for j in range(len(seeds[i]))] for i in range(len(prompts))]

    def encode(self, prompt: str) -> list[int]:
        """The prompt as a user's turn in the chat template, up to where the policy answers."""
        turn = [{"role": "user", "content": prompt}]
        tokens: list[int] = self.tokenizer.apply_chat_template(
            turn, add_generation_prompt=True, return_dict=False
        )
        return tokens

    @torch.inference_mode()
    def _generate(self, rows: list[list[int]], params: dict[str, Any]) -> list[dict[str, Any]]:
        batch = self.tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self.device)
        config = _decoding(params, self.stops, self.tokenizer.pad_token_id)
        tokens = self.model.generate(**batch, generation_config=config)
        new = tokens[:, batch["input_ids"].shape[1] :].tolist()
        return [self._rollout(row) for row in new]

    def _rollout(self, row: list[int]) -> dict[str, Any]:
        stop = next((at for at, token in enumerate(row) if token in self.stops), None)
        kept = row if stop is None else row[:stop]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return {
            "text": text.strip(),
            "tokens": len(kept) + (stop is not None),
            "finish_reason": "length" if stop is None else "stop",
        }


def _stops(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end an answer; published models may name several."""
    named = model.generation_config.eos_token_id
    stops = {named} if isinstance(named, int) else set(named or ())
    return stops | {tokenizer.eos_token_id} - {None}


def _decoding(params: dict[str, Any], stops: set[int], pad: int) -> GenerationConfig:
    """Decoding by the run's parameters alone. `top_k` 0 is off; it would be 50 by default."""
    sampled = params["temperature"] > 0
    knobs = {"temperature": params["temperature"], "top_p": params["top_p"], "top_k": 0}
    return GenerationConfig(
        do_sample=sampled,
        max_new_tokens=params["max_new_tokens"],
        eos_token_id=sorted(stops),
        pad_token_id=pad,
        **(knobs if sampled else {}),
    )


def _check_room(prompt: str, tokens: int, room: int | None, new: int) -> None:
    if room is not None and tokens + new > room:
        raise MoraError(
            f"The prompt {prompt[:80]!r} has {tokens} tokens; with {new} new ones it exceeds the "
            f"policy's context of {room}. Shorten it or lower max_new_tokens."
        )
