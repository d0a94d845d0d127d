"""A model from a folder, in one of transformers' classes, or a sentence on why not; and whether
what it computes are numbers.
"""

from math import isfinite
from pathlib import Path
from typing import Any

import torch
import transformers

from alignment.method.errors import MoraError
from alignment.model_folders import check_model
from workers.engines.engine import told

NOT_FINITE = "the model's outputs for it are not finite"


def load_model(kind: Any, folder: Path, dtype: str, *, name: str, remote_code: bool = False) -> Any:
    """A model of a kind that is called `name`; MoraError where it may not or cannot be loaded."""
    check_model(folder)
    try:
        model, report = kind.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=remote_code,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # they are told below, each with its name
            output_loading_info=True,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever files that people edited lead to, each library its own
        raise MoraError(
            f"{folder} cannot be loaded as a {name} ({told(error)}); name a whole model of a kind "
            f"that transformers {transformers.__version__} knows, with its own config.json."
        ) from error
    if report["mismatched_keys"]:
        key, found, asked = sorted(report["mismatched_keys"])[0]
        raise MoraError(
            f"The config.json in {folder} does not fit its weights: {key} is {_size(found)}, and "
            f"by config.json {_size(asked)}; put the config.json of these weights there."
        )
    if report["missing_keys"]:  # transformers would draw them at random
        lacks = sorted(report["missing_keys"])[0]
        raise MoraError(
            f"{folder} is no {name}: it has no weights for {lacks}; name a model that was saved "
            f"as a {name}."
        )
    return model


def embeddings_of(model: Any) -> int | None:
    """How many tokens the model has an embedding for; None where its own code does not say."""
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (NotImplementedError, AttributeError):
        return None


def context_of(model: Any) -> int | None:
    """The model's context in tokens, None where its config does not say."""
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return room if isinstance(room, int) and room > 0 else None


def scored(folder: Path, heads: list[list[float]]) -> list[dict[str, Any]]:
    """Per item of a reward model {"heads": raw outputs}, or {"error": why} where they are not
    numbers; MoraError where that is so of all."""
    found: list[dict[str, Any]] = [
        {"heads": own} if all(map(isfinite, own)) else {"error": NOT_FINITE} for own in heads
    ]
    if found and all("error" in item for item in found):
        raise not_finite(folder)
    return found


def not_finite(folder: Path) -> MoraError:
    """The error of a model whose outputs are not numbers."""
    return MoraError(
        f"The logits of {folder} are not finite: its weights are damaged, or too large for the "
        "dtype; copy the model's folder anew, or choose bfloat16 or float32."
    )


def _size(shape: Any) -> str:
    return " x ".join(map(str, shape))
