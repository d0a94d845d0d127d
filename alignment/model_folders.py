"""Model folders on disk: which may be loaded, and how one is told from another.

Standard library only, for web, workers and engines alike.
"""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from alignment.method.errors import MoraError

# Formats that can run code when they are read.
UNSAFE = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5", ".joblib"}
SAMPLE = 1 << 16  # bytes, read at SAMPLES places of a file
SAMPLES = 16
SCORE_HEAD = "score_head.weight"
CONTEXT = ("max_position_embeddings", "n_positions")  # what config.json calls it, by architecture
MOST_HEADER = 100_000_000  # bytes of a safetensors header, its own limit


def check_model(folder: Path) -> None:
    """Raise MoraError unless the folder holds a whole model in safetensors and nothing else."""
    if not (folder / "config.json").is_file():
        raise MoraError(f"{folder} holds no config.json; name a folder with a whole model.")
    unsafe = sorted(file.name for file in folder.rglob("*") if file.suffix.lower() in UNSAFE)
    if unsafe:
        raise MoraError(
            f"{folder} holds {', '.join(unsafe[:3])}, a format that can run code when it is read; "
            "convert the weights to safetensors and remove it."
        )
    if not any(folder.glob("*.safetensors")):
        raise MoraError(f"{folder} holds no *.safetensors; convert the weights to safetensors.")
    whole = (folder / "model.safetensors").is_file()  # and then an index is of no use
    lacks = [name for name in ([] if whole else _shards(folder)) if not (folder / name).is_file()]
    if lacks:
        raise MoraError(f"{folder} lacks {', '.join(lacks[:3])}; copy the model's folder anew.")
    weight_shapes(folder)


def check_template(folder: Path) -> None:
    """Raise MoraError where the folder has no chat template, which prompts go through, or an
    empty one."""
    config = folder / "tokenizer_config.json"
    beside = [folder / "chat_template.jinja", *folder.glob("additional_chat_templates/*.jinja")]
    try:
        told = json.loads(config.read_text()) if config.is_file() else {}
        found = [told.get("chat_template")] if isinstance(told, dict) else []
        found += [file.read_text() for file in beside if file.is_file()]
    except (OSError, ValueError) as error:
        raise MoraError(
            f"The chat template in {folder} cannot be read ({error}); copy the model's folder anew."
        ) from error
    if not any(text.strip() if isinstance(text, str) else text for text in found):
        raise MoraError(
            f"{folder} has no chat template; add its chat_template.jinja, or name a chat model."
        )


def check_score_head(folder: Path) -> None:
    """Raise MoraError where the folder's weights have no score head, as beaver's models have one,
    or where what the head gives would have to be normalised."""
    if SCORE_HEAD not in weight_shapes(folder):
        raise MoraError(
            f"{folder} has no {SCORE_HEAD}, which gives end_scores; name a model with a score "
            "head, such as beaver-7b, or set output to logits."
        )
    if _config(folder).get("do_normalize"):
        raise MoraError(
            f"The config.json in {folder} has its scores normalised (do_normalize), which is not "
            "done here; name a model that gives them as they are."
        )


def check_writer(folder: Path) -> None:
    """Raise MoraError where the folder's config says that the model gives classes or a value, so
    that it cannot write."""
    kinds = _kinds(folder)
    if kinds and all(kind.endswith("Classification") for kind in kinds):
        raise MoraError(
            f"{folder} holds a model that gives classes ({', '.join(kinds)}) and writes no text; "
            "name a causal language model."
        )


def check_classifier(folder: Path) -> None:
    """Raise MoraError where the folder's config says that the model writes text, so that its
    weights have no head for a reward."""
    kinds = _kinds(folder)
    if kinds and all(kind.endswith("ForCausalLM") for kind in kinds):
        raise MoraError(
            f"{folder} holds a model that writes text ({', '.join(kinds)}), no reward model; "
            "name one that was saved for sequence classification."
        )


def check_heads(folder: Path, heads: Sequence[int]) -> None:
    """Raise MoraError where the folder's config counts fewer heads than those named."""
    config = _config(folder)
    labels = config.get("id2label")
    known = len(labels) if isinstance(labels, dict) else config.get("num_labels")
    if isinstance(known, int) and max(heads, default=0) >= known:
        raise MoraError(
            f"{folder} has {known} head{'s' if known > 1 else ''}, numbered from 0, so none is "
            f"numbered {max(heads)}; name others in heads."
        )


def context_of(folder: Path) -> int | None:
    """The tokens that the folder's model takes, as its config says; None where it does not say, or
    scales them."""
    config = _config(folder)
    text = config.get("text_config")  # of a model that also takes images
    own = config | text if isinstance(text, dict) else config
    found = next((own[name] for name in CONTEXT if name in own), None)
    rope = own.get("rope_scaling") or own.get("rope_parameters") or {}
    is_scaled = rope.get("rope_type", rope.get("type", "default")) != "default"
    return found if isinstance(found, int) and found > 0 and not is_scaled else None


def _kinds(folder: Path) -> list[str]:
    named = _config(folder).get("architectures")
    return [str(kind) for kind in named] if isinstance(named, list) else []


def _shards(folder: Path) -> list[str]:
    """The files that the folder's index of weights names, if it has one."""
    index = folder / "model.safetensors.index.json"
    try:
        files = json.loads(index.read_text())["weight_map"].values() if index.is_file() else ()
        return sorted({Path(str(name)).name for name in files})
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise MoraError(f"{index} cannot be read; copy the model's folder anew.") from error


def _config(folder: Path) -> dict[str, Any]:
    """The folder's config.json; raises MoraError where it cannot be read."""
    try:
        found = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise MoraError(
            f"The config.json in {folder} cannot be read ({error}); copy the model's folder anew."
        ) from error
    return found if isinstance(found, dict) else {}


def weight_shapes(folder: Path) -> dict[str, list[int]]:
    """Shapes of the folder's tensors by name, read from the headers of its safetensors files.

    Raises MoraError for a file that is cut off or no safetensors.
    """
    found: dict[str, list[int]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with file.open("rb") as stream:
                size = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(min(size, MOST_HEADER)))
            tensors = {k: v for k, v in header.items() if k != "__metadata__"}
            found |= {k: v["shape"] for k, v in tensors.items()}
            end = max((v["data_offsets"][1] for v in tensors.values()), default=0)
            if file.stat().st_size < 8 + size + end:
                raise ValueError("cut off")
        except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:
            raise MoraError(
                f"{file} cannot be read as safetensors; copy the model's folder anew."
            ) from error
    return found


def allowed(folder: Path, roots: Iterable[Path]) -> Path:
    """The folder, resolved; raises MoraError unless it is there and below one of the roots."""
    path = folder.resolve()
    if not any(path.is_relative_to(root.resolve()) for root in roots):
        raise MoraError(f"the folder {folder} is not below one of MODEL_ROOTS")
    if not path.is_dir():
        raise MoraError(f"the model folder {folder} is gone; put it back or name another")
    return path


def likeness(folder: Path) -> str:
    """A hash of the folder's config and of samples of its weights; another model has another.

    Quick where a whole hash of many gigabytes is not; empty where the folder is gone.
    """
    digest = sha256()
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    try:
        for file in files:
            size = file.stat().st_size
            digest.update(f"{file.name}\0{size}\0".encode())
            with file.open("rb") as stream:
                for i in range(SAMPLES):
                    stream.seek(max(0, size - SAMPLE) * i // (SAMPLES - 1))
                    digest.update(stream.read(SAMPLE))
    except OSError:
        return ""
    return digest.hexdigest()
