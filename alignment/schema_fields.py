"""Form fields drawn from the JSON schema of `RunConfig`: its limits, defaults and descriptions."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from alignment.method.config import RunConfig

SCHEMA = RunConfig.model_json_schema()
SECTIONS = {
    "sample": "Sampling",
    "mine": "Mining",
    "rewrite": "Rewriting",
    "review": "Review",
    "pair": "Pairing",
    "train": "Training",
}
LABELS = {
    "sample.n": "Rollouts per prompt, N",
    "resample_n": "Rollouts per rewrite, M",
    "evaluate.n": "Rollouts per prompt",
    "evaluate.prompts": "Held-out prompt set",
    "evaluate.limit": "First so many prompts",
    "review.mode": "Review of rewrites",
    "review.audit_share": "Share reviewed in an audit",
    "review.overlap": "Reviews per rewrite",
    "review.ratings": "Ask for ratings",
    "review.close_after_seconds": "Seconds to undo",
    "train.beta": "DPO beta",
    "train.method": "Weights trained",
    "train.loss": "Losses",
    "train.launch": "Accelerate config",
    "train.lora_r": "LoRA rank, r",
    "train.lora_alpha": "LoRA alpha",
    "train.lora_dropout": "LoRA dropout",
    "train.lora_targets": "LoRA modules",
    "sample.top_p": "Top p",
    "sample.engine": "Sampler",
    "sample.dtype": "Number type",
    "sample.tensor_parallel": "Tensor parallel",
    "sample.max_length": "Context, tokens",
    "sample.load_format": "Weights read as",
}
REVIEW_MODES = {
    "skip": "skip: all go on as written",
    "audit": "audit: people see a share",
    "required": "required: people decide each",
}


def section_fields(section: str, model: str = "") -> dict[str, forms.Field]:
    """The fields of a section; one that has a single possible value is left out."""
    reference: str = SCHEMA["properties"][section].get("$ref", "")
    properties = SCHEMA["$defs"][model or reference.rpartition("/")[2]]["properties"]
    return {
        f"{section}.{name}": field(f"{section}.{name}", schema)
        for name, schema in properties.items()
        if "const" not in schema and schema.get("type") != "object"
    }


def field(path: str, schema: Mapping[str, Any]) -> forms.Field:
    """A form field for a JSON schema of a plain value."""
    kinds = schema.get("anyOf", [schema])
    kind = {**schema, **kinds[0]}
    told = schema.get("description", "")
    label = LABELS.get(path, path.rpartition(".")[2].replace("_", " ").capitalize())
    common: dict[str, Any] = {
        "label": label,
        "help_text": "" if told and label.lower().startswith(told) else told,
        "initial": schema.get("default"),
        "required": {"type": "null"} not in kinds,
    }
    if "enum" in kind:
        names = REVIEW_MODES if path == "review.mode" else {}
        return forms.ChoiceField(choices=[(v, names.get(v, v)) for v in kind["enum"]], **common)
    if kind["type"] == "boolean":
        return forms.BooleanField(**{**common, "required": False})
    limits: dict[str, Any] = {"min_value": kind.get("minimum"), "max_value": kind.get("maximum")}
    if kind["type"] == "integer":
        return forms.IntegerField(**limits, **common)
    if kind["type"] == "number":
        return forms.FloatField(**limits, **common)
    empty = "" if common["required"] else None
    return forms.CharField(max_length=kind.get("maxLength"), empty_value=empty, **common)


def choice(
    choices: Iterable[tuple[str, str]], label: str = "", required: bool = True, told: str = ""
) -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=list(choices), label=label or None, required=required, help_text=told
    )
