"""The `vllm` engine: rollouts of one policy, and replies of one model, by vLLM in this process.

Every request has its own seed. The policy is a merged model, or its base with a LoRA adapter. Its
packages live in an environment of their own (VLLM_PYTHON); the records are those of the other
samplers.
"""

import json
import os
from pathlib import Path
from typing import Any

from alignment.method.errors import MoraError
from alignment.model_folders import check_model
from workers.engines.encoding import Encoder
from workers.engines.engine import Engine, Spec, likely

MOST_SEED = 2**63 - 1
LOGPROB_STEPS = 4  # tokens of a reply whose alternatives are given


def load(spec: Spec) -> Engine:
    """Load the model in `spec["model"]`. Raises MoraError on a folder that may not be loaded."""
    sampler = VllmSampler(spec)
    return Engine(
        version=f"vllm {version()}",
        calls={
            "sample": lambda args, progress: {"rollouts": sampler.sample(**args), "usage": {}},
            "chat": lambda args, progress: {"replies": sampler.chat(**args), "usage": {}},
        },
    )


def version() -> str:
    import vllm

    return str(vllm.__version__)


def start(spec: Spec, **options: Any) -> Any:
    """vLLM's engine on a folder; MoraError where it may not or cannot be loaded."""
    folder = Path(spec["model"])
    check_model(folder)
    # One process where one is enough: its end frees all, and nothing of it can be left over.
    alone = spec.get("tensor_parallel", 1) == 1
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0" if alone else "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    try:
        import vllm
    except ImportError as error:
        raise MoraError(
            f"vLLM cannot be imported here ({error}); set VLLM_PYTHON to the interpreter of an "
            "environment that has it."
        ) from error
    try:
        return vllm.LLM(
            model=str(folder),
            dtype=spec["dtype"],
            max_model_len=spec.get("max_length"),
            gpu_memory_utilization=spec["memory"],
            trust_remote_code=False,
            disable_log_stats=True,
            **options,
        )
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise MoraError(f"vLLM cannot load {folder}: {told[-1][:400]}") from error


class VllmSampler:
    """A model with its tokenizer in vLLM."""

    def __init__(self, spec: Spec) -> None:
        self.folder = Path(spec["model"])
        adapter = spec.get("adapter")
        self.llm = start(
            spec,
            tensor_parallel_size=spec.get("tensor_parallel", 1),
            enable_prefix_caching=spec.get("prefix_caching", True),
            load_format=spec.get("load_format", "auto"),
            enable_lora=adapter is not None,
            max_lora_rank=_rank(Path(adapter)) if adapter else 16,
            # What a published model's own file says of decoding must not mix with the run's.
            generation_config="vllm",
        )
        self.lora = self._adapter(adapter) if adapter else None
        config = self.llm.model_config
        self.encoder = Encoder(self.folder, config.get_vocab_size(), [config.max_model_len])
        self.stops = sorted(_stops(self.folder) | {self.encoder.tokenizer.eos_token_id} - {None})

    def sample(
        self, prompts: list[str], seeds: list[list[int]], params: dict[str, Any]
    ) -> list[list[dict[str, Any]]]:
        """Per prompt, one rollout a seed: text, tokens (the stop token counts), finish_reason.

        A prompt that leaves no room for `max_new_tokens` has {"error": why} instead.
        """
        encoded = [self.encoder.prompt(prompt) for prompt in prompts]
        rows = [(tokens, seed) for tokens, own in zip(encoded, seeds, strict=True) for seed in own]
        found = iter(self._generate(rows, params))
        return [[next(found) for _ in own] for own in seeds]

    def chat(
        self,
        conversations: list[Any],
        seeds: list[int],
        params: dict[str, Any],
        template_args: list[dict[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        """Per conversation its reply, as a rollout, or {"error": why}; `top` as transformers."""
        given = template_args or [{} for _ in conversations]
        pairs = zip(conversations, given, strict=True)
        encoded = [self.encoder.conversation(text, args) for text, args in pairs]
        return self._generate(list(zip(encoded, seeds, strict=True)), params)

    def _generate(
        self, rows: list[tuple[list[int], int]], params: dict[str, Any]
    ) -> list[dict[str, Any]]:
        new = params["max_new_tokens"]
        replies = [{"error": self.encoder.unfit(tokens, new)} for tokens, _ in rows]
        fitting = [i for i, reply in enumerate(replies) if not reply["error"]]
        outputs = self.llm.generate(
            [{"prompt_token_ids": rows[i][0]} for i in fitting],
            [self._decoding(params, rows[i][1]) for i in fitting],
            use_tqdm=False,
            lora_request=self.lora,
        )
        for i, output in zip(fitting, outputs, strict=True):
            replies[i] = self._rollout(output.outputs[0])
        return replies

    def _decoding(self, params: dict[str, Any], seed: int) -> Any:
        import vllm

        return vllm.SamplingParams(
            temperature=params["temperature"],
            top_p=params["top_p"] if params["temperature"] > 0 else 1.0,
            max_tokens=params["max_new_tokens"],
            seed=seed % MOST_SEED,
            stop_token_ids=self.stops,
            logprobs=params.get("logprobs", 0) or None,
            detokenize=False,
        )

    def _rollout(self, output: Any) -> dict[str, Any]:
        tokens = list(output.token_ids)
        kept = tokens[:-1] if tokens and tokens[-1] in self.stops else tokens
        text = self.encoder.tokenizer.decode(kept, skip_special_tokens=True)
        found = {
            "text": text.strip(),
            "tokens": len(tokens),
            "finish_reason": "length" if output.finish_reason == "length" else "stop",
        }
        return {**found, "top": self._top(output.logprobs)} if output.logprobs else found

    def _top(self, logprobs: Any) -> list[list[dict[str, Any]]]:
        return [
            likely(
                (self.encoder.tokenizer.decode([token]), found.logprob)
                for token, found in step.items()
            )
            for step in logprobs[:LOGPROB_STEPS]
        ]

    @staticmethod
    def _adapter(folder: str) -> Any:
        from vllm.lora.request import LoRARequest

        return LoRARequest("policy", 1, folder)


def _rank(adapter: Path) -> int:
    """The least of vLLM's ranks that the adapter fits in."""
    rank = json.loads((adapter / "adapter_config.json").read_text())["r"]
    return next(known for known in (8, 16, 32, 64, 128, 256, 320, 512) if known >= rank)


def _stops(folder: Path) -> set[int]:
    """Tokens that end an answer, as the model's own files name them."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.is_file() and not found:
            named = json.loads(path.read_text()).get("eos_token_id")
            found = {named} if isinstance(named, int) else set(named or ())
    return found
