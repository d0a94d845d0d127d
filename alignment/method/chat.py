"""Which model answers a conversation, and how a template becomes one.

A judge or a rewriter names an endpoint of the operator's list or a model's folder. What is asked
there is a list of messages, or one text for a model without a chat template.
"""

import re
from hashlib import sha256
from typing import Any, Literal

from pydantic import Field, model_validator

from alignment.method.config import Dtype, Frozen

Conversation = list[dict[str, str]] | str
_SLOT = re.compile(r"\{([a-z_]+)\}")


class ModelChoice(Frozen):
    """A model at an endpoint, or in a folder that a local engine loads."""

    engine: Literal["endpoint", "transformers", "vllm"]
    endpoint: str = Field("", description="a name of the operator's MORA_ENDPOINTS")
    model: str = Field(min_length=1, description="its name at the endpoint, or its folder")
    dtype: Dtype = "float32"
    max_length: int | None = Field(None, ge=8, description="context of the vllm engine, tokens")

    @model_validator(mode="after")
    def _endpoint_is_named(self) -> "ModelChoice":
        if (self.engine == "endpoint") != bool(self.endpoint):
            raise ValueError("`endpoint` is needed with the engine 'endpoint', and only there")
        return self


def fill(template: str, **values: str) -> str:
    """The template with each {name} that `values` has put in; other braces stay as they are.

    One pass: braces in a value are text.
    """
    return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), template)


def not_json(reply: str) -> str:
    """What to say of a reply that is not JSON; a fence around it is what models add most often."""
    fenced = reply.lstrip().startswith("```")
    return "the reply is not JSON" + (": a code fence is around it" if fenced else "")


def distinct(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of a reply; raises ValueError where it names a field twice."""
    found = dict(fields)
    if len(found) < len(fields):
        raise ValueError("a field is named twice")
    return found


def slots(template: str) -> set[str]:
    """Names of the {slots} of a template."""
    return set(_SLOT.findall(template))


def mark(*texts: str) -> str:
    """A word that fences texts off in a conversation; their writer could not foresee it."""
    return sha256("\x1f".join(texts).encode()).hexdigest()[:10]


def conversation(system: str, user: str) -> list[dict[str, str]]:
    """A user's turn after a system message, if there is one."""
    head = [{"role": "system", "content": system}] if system.strip() else []
    return [*head, {"role": "user", "content": user}]
