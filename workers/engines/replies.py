"""What a server answered: its shape is checked here, once, where it comes in.

Servers call themselves OpenAI-compatible and are so more or less. What holds no reply is
`Unusable`; what is odd beside the reply (counts of tokens, log-probabilities) is taken as not told.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from pydantic import BaseModel, ValidationError

from workers.engines.engine import Alternatives, likely

MOST_TOKENS = 2**31 - 1  # what the database counts to
LONGEST_FINISH_REASON = 20  # characters of its column
NO_CHOICE = "the answer holds no choice"
TEXT_PARTS = ("text", "output_text")


class Unusable(Exception):
    """An answer without a reply; the message says what it is instead."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A reply. `text` is None where there is none (a tool's call, or thoughts alone); the numbers
    of tokens are None where the server did not tell them; `top` is per token of the reply."""

    text: str | None
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    top: list[Alternatives]


class _Part(BaseModel):
    type: str
    text: Any = None


class _Message(BaseModel):
    content: str | list[_Part] | None = None


class _Choice(BaseModel):
    finish_reason: Any = None
    logprobs: Any = None


class _ChatChoice(_Choice):
    message: _Message


class _TextChoice(_Choice):
    text: str | None


class _Alternative(BaseModel):
    token: str
    logprob: float | None = None


class _Token(_Alternative):
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(BaseModel):
    """Of a chat `content`, of a text `top_logprobs`."""

    content: list[_Token] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None


def parse(body: bytes, *, is_chat: bool) -> Answer:
    """The reply in an answer's body. Raises Unusable."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unusable("the answer cannot be read: it is no JSON") from error
    choices = found.get("choices") if isinstance(found, dict) else None
    if not isinstance(choices, list) or not choices:
        told = error_message(found)
        raise Unusable(f"the server answered with an error: {told}" if told else NO_CHOICE)
    choice = _choice(choices[0], is_chat)
    used = found.get("usage")
    return Answer(
        text=_text(choice.message.content if isinstance(choice, _ChatChoice) else choice.text),
        finish_reason=_finish_reason(choice.finish_reason),
        prompt_tokens=_count(used, "prompt_tokens"),
        completion_tokens=_count(used, "completion_tokens"),
        top=_top(choice.logprobs),
    )


def error_message(body: Any) -> str:
    """What an answer says of an error, in any of the ways that servers have; else empty."""
    if not isinstance(body, dict):
        return ""
    told = body.get("error") or body.get("detail") or body.get("message")
    if isinstance(told, dict):
        told = told.get("message") or told
    return told if isinstance(told, str) else json.dumps(told) if told else ""


def _choice(given: Any, is_chat: bool) -> _ChatChoice | _TextChoice:
    try:
        return (_ChatChoice if is_chat else _TextChoice).model_validate(given)
    except ValidationError as error:
        where = "".join(f".{part}" for part in error.errors()[0]["loc"] if isinstance(part, str))
        kind = "a chat's" if is_chat else "a text's"
        raise Unusable(
            f"the answer is not shaped as {kind} completion: choices.0{where} is missing or of "
            "another kind"
        ) from error


def _text(content: str | list[_Part] | None) -> str | None:
    if not isinstance(content, list):
        return content
    texts = [part.text for part in content if part.type in TEXT_PARTS]
    return "".join(text for text in texts if isinstance(text, str)) if texts else None


def _finish_reason(given: Any) -> str:
    is_word = isinstance(given, str) and given.isprintable() and given
    return given[:LONGEST_FINISH_REASON] if is_word else "stop"


def _count(used: Any, name: str) -> int | None:
    value = used.get(name) if isinstance(used, dict) else None
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _top(given: Any) -> list[Alternatives]:
    """Up to the first token whose alternatives are not told; what follows would seem earlier."""
    try:
        found = _Logprobs.model_validate(given)
    except ValidationError:
        return []
    return list(takewhile(bool, map(likely, _steps(found))))


def _steps(found: _Logprobs) -> Iterable[list[tuple[str, float | None]]]:
    if found.content is not None:
        for token in found.content:
            yield [(a.token, a.logprob) for a in token.top_logprobs or [token]]
    else:
        for step in found.top_logprobs or []:
            yield list((step or {}).items())
