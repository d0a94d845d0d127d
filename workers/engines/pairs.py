"""The pairs that a training sees: those that fit it whole, as a data set on disk."""

from itertools import cycle, islice
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset

from alignment.method.config import TrainConfig
from alignment.method.errors import MoraError
from workers.engines.encoding import through_template

Pair = dict[str, str]  # prompt, chosen, rejected


def fitting(tokenizer: Any, pairs: list[Pair], settings: TrainConfig) -> list[Pair]:
    """The pairs of which both members fit `max_length`; a member cut is not what was scored.

    Where a number of steps is set, they are repeated to fill those steps all the same. Raises
    MoraError where none fits.
    """
    longest = {_key(pair): 0 for pair in pairs}
    for key in longest:
        turns = _conversation(dict(zip(("prompt", "chosen", "rejected"), key, strict=True)))
        longest[key] = max(
            len(through_template(tokenizer, turns["prompt"] + turns[member], return_dict=False))
            for member in ("chosen", "rejected")
        )
    kept = [pair for pair in pairs if longest[_key(pair)] <= settings.max_length]
    if not kept:
        needed = f" The shortest needs {min(longest.values())}." if longest else ""
        raise MoraError(
            f"No pair is left to train on: of {len(longest)}, none fits max_length "
            f"{settings.max_length} whole.{needed} Raise max_length or use shorter texts."
        )
    return list(islice(cycle(kept), len(pairs))) if settings.steps else kept


def distinct(pairs: list[Pair]) -> int:
    """How many pairs there are, repeated ones counted once."""
    return len({_key(pair) for pair in pairs})


def saved(pairs: list[Pair], folder: Path) -> Dataset:
    """The pairs as a data set in a folder: what is computed of it lies beside it, for all
    processes to read."""
    here = PartialState()
    if here.is_main_process:
        Dataset.from_list([_conversation(pair) for pair in pairs]).save_to_disk(str(folder))
    here.wait_for_everyone()
    return Dataset.load_from_disk(str(folder))


def _key(pair: Pair) -> tuple[str, str, str]:
    return pair["prompt"], pair["chosen"], pair["rejected"]


def _conversation(pair: Pair) -> dict[str, list[dict[str, str]]]:
    return {
        "prompt": [{"role": "user", "content": pair["prompt"]}],
        "chosen": [{"role": "assistant", "content": pair["chosen"]}],
        "rejected": [{"role": "assistant", "content": pair["rejected"]}],
    }
