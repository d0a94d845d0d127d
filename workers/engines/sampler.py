"""The `transformers` engine: rollouts of one policy, and replies of one model, in padded batches.

Merged models only; adapters are merged when they are trained. The same call on the same machine
gives the same texts: a batch's one seed is a hash of its members' seeds.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)

from alignment.method.seeds import seed_of
from workers.engines.encoding import Encoder
from workers.engines.engine import Engine, Spec, likely
from workers.engines.loading import context_of, embeddings_of, load_model, not_finite

CHAT_BATCH = 32  # conversations, of like length
LOGPROB_STEPS = 4  # tokens of a reply whose alternatives are given


def load(spec: Spec) -> Engine:
    """Load the model in `spec["model"]`. Raises MoraError on a folder that may not be loaded."""
    torch.set_num_threads(spec.get("threads", 2))
    make_deterministic()
    sampler = Sampler(Path(spec["model"]), spec.get("dtype", "float32"))
    return Engine(
        version=f"transformers {transformers.__version__}",
        calls={
            "sample": lambda args, progress: {"rollouts": sampler.sample(**args), "usage": {}},
            "chat": lambda args, progress: {"replies": sampler.chat(**args), "usage": {}},
            "likelihoods": lambda args, progress: sampler.likelihoods(**args),
        },
    )


def load_causal(folder: Path, dtype: str) -> Any:
    """A language model from a folder; MoraError where it may not or cannot be loaded."""
    return load_model(AutoModelForCausalLM, folder, dtype, name="language model")


def make_deterministic() -> None:
    """Deterministic algorithms where they exist, without filling every new tensor with NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class Sampler:
    """A model with its tokenizer, on the GPU where there is one."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = load_causal(folder, dtype)
        self.encoder = Encoder(folder, embeddings_of(self.model), [context_of(self.model)])
        self.tokenizer = self.encoder.tokenizer
        self.tokenizer.padding_side = "left"
        self.model.to(self.device).eval()
        self.checks = LogitsProcessorList([_Finite(folder)])
        self.stops = _stops(self.model, self.tokenizer)
        # What a published model's own file says of decoding must not mix with the run's.
        self.model.generation_config = GenerationConfig()

    def sample(
        self, prompts: list[str], seeds: list[list[int]], params: dict[str, Any]
    ) -> list[list[dict[str, Any]]]:
        """Per prompt, one rollout a seed: text, tokens (the stop token counts), finish_reason.

        A prompt that leaves no room for `max_new_tokens` has {"error": why} instead.
        """
        encoded = [self.encode(prompt) for prompt in prompts]
        errors = [self.encoder.unfit(t, params["max_new_tokens"]) for t in encoded]
        rows = [(i, j) for i in range(len(prompts)) for j in range(len(seeds[i])) if not errors[i]]
        rows.sort(key=lambda row: -len(encoded[row[0]]))
        torch.manual_seed(seed_of(*(seed for group in seeds for seed in group)))
        outputs = self._generate([encoded[i] for i, _ in rows], params)
        found = dict(zip(rows, outputs, strict=True))
        return [
            [{"error": errors[i]} if errors[i] else found[i, j] for j in range(len(seeds[i]))]
            for i in range(len(prompts))
        ]

    def chat(
        self,
        conversations: list[Any],
        seeds: list[int],
        params: dict[str, Any],
        template_args: list[dict[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        """Per conversation its reply, as a rollout, or {"error": why}.

        `params["logprobs"]` above 0 adds `top`: for the first tokens of a reply so many
        alternatives with their log-probabilities.
        """
        given = template_args or [{} for _ in conversations]
        pairs = zip(conversations, given, strict=True)
        encoded = [self.encoder.conversation(text, args) for text, args in pairs]
        errors = [self.encoder.unfit(t, params["max_new_tokens"]) for t in encoded]
        replies = [{"error": error} for error in errors]
        order = sorted((i for i, e in enumerate(errors) if not e), key=lambda i: -len(encoded[i]))
        for at in range(0, len(order), CHAT_BATCH):
            batch = order[at : at + CHAT_BATCH]
            torch.manual_seed(seed_of(*(seeds[i] for i in batch)))
            outputs = self._generate([encoded[i] for i in batch], params)
            for i, output in zip(batch, outputs, strict=True):
                replies[i] = output
        return replies

    def likelihoods(self, prompts: list[str], answers: list[list[str]]) -> list[dict[str, Any]]:
        """Per prompt {"logp": log-probability of each whole answer to it}, or {"error": why}."""
        found = []
        for prompt, own in zip(prompts, answers, strict=True):
            head = self.encode(prompt)
            tails = [self.tokenizer.encode(text, add_special_tokens=False) for text in own]
            error = self.encoder.unfit(head, max(map(len, tails), default=0))
            found.append({"error": error} if error else {"logp": self._logp(head, tails)})
        return found

    @torch.inference_mode()
    def _logp(self, head: list[int], tails: list[list[int]]) -> list[float]:
        """Sums of the log-probabilities of each tail's tokens after the head."""
        values = []
        for at in range(0, len(tails), CHAT_BATCH):
            rows = [torch.tensor(head + tail) for tail in tails[at : at + CHAT_BATCH]]
            # Padded on the right, where no earlier token sees it.
            ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
            logits = self.model(ids).logits[:, len(head) - 1 : -1].float()
            self.checks(ids, logits)
            each = torch.log_softmax(logits, -1).gather(-1, ids[:, len(head) :, None])[..., 0]
            for row, tail in zip(each, tails[at : at + CHAT_BATCH], strict=True):
                values.append(float(row[: len(tail)].sum()))
        return values

    def encode(self, prompt: str) -> list[int]:
        """The prompt as a user's turn in the chat template, up to where the policy answers."""
        return self.encoder.prompt(prompt)

    @torch.inference_mode()
    def _generate(self, rows: list[list[int]], params: dict[str, Any]) -> list[dict[str, Any]]:
        if not rows:
            return []
        batch = self.tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self.device)
        config = _decoding(params, self.stops, self.tokenizer.pad_token_id)
        top = params.get("logprobs", 0)
        output = self.model.generate(
            **batch, generation_config=config, logits_processor=self.checks
        )
        new = output.sequences[:, batch["input_ids"].shape[1] :].tolist()
        found = [self._rollout(row) for row in new]
        if top:
            for rollout, alternatives in zip(found, self._top(output.logits, top), strict=True):
                rollout["top"] = alternatives
        return found

    def _rollout(self, row: list[int]) -> dict[str, Any]:
        stop = next((at for at, token in enumerate(row) if token in self.stops), None)
        kept = row if stop is None else row[:stop]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return {
            "text": text.strip(),
            "tokens": len(kept) + (stop is not None),
            "finish_reason": "length" if stop is None else "stop",
        }

    def _top(self, logits: Any, top: int) -> list[list[list[dict[str, Any]]]]:
        """Per row and token the likeliest alternatives; logits are (rows, vocabulary) a token."""
        steps = [torch.log_softmax(step.float(), -1).topk(top) for step in logits[:LOGPROB_STEPS]]
        return [
            [
                likely(
                    (self.tokenizer.decode([token]), value)
                    for token, value in zip(
                        step.indices[row].tolist(), step.values[row].tolist(), strict=True
                    )
                )
                for step in steps
            ]
            for row in range(len(logits[0]))
        ]


class _Finite(LogitsProcessor):
    """Refuses logits that are not numbers; minus infinity is a token that never comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not (scores < torch.inf).all():
            raise not_finite(self.folder)
        return scores


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
        return_dict_in_generate=True,
        output_logits=params.get("logprobs", 0) > 0,
        **(knobs if sampled else {}),
    )
