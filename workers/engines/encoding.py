"""From a conversation to a model's tokens, the same for every engine that has the tokenizer.

A conversation is a list of messages, put through the model's chat template, or one text for a
model without one. Its length is checked here, before anything is generated.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
from transformers import AutoTokenizer

from alignment.method.errors import MoraError
from workers.engines.engine import told

PROBES = ("Yes", "No")  # messages that no chat template may show alike
Turns = list[dict[str, str]]


class Encoder:
    """A folder's tokenizer, for a model of so many embeddings (None: not known), whose context in
    tokens is the least of `rooms` (none: not limited). Raises MoraError where it does not fit."""

    def __init__(self, folder: Path, embeddings: int | None, rooms: Iterable[int | None]) -> None:
        self.room = min((room for room in rooms if room is not None), default=None)
        self.tokenizer = load_tokenizer(folder)
        check_vocabulary(self.tokenizer, embeddings)
        if self.tokenizer.chat_template:
            check_template(self.tokenizer)

    def prompt(self, text: str) -> list[int]:
        """The prompt as a user's turn, up to where the policy answers."""
        return self.conversation([{"role": "user", "content": text}])

    def conversation(
        self, conversation: Any, template_args: dict[str, Any] | None = None
    ) -> list[int]:
        """The conversation's tokens, up to where the model answers. Raises MoraError."""
        if isinstance(conversation, str):
            return self._tokens(conversation)
        found: list[int] = through_template(
            self.tokenizer,
            conversation,
            add_generation_prompt=True,
            return_dict=False,
            **(template_args or {}),
        )
        return found

    def exchange(self, prompt: str, completion: str) -> list[int]:
        """Prompt and completion as a finished exchange without a system message."""
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        return self._tokens(through_template(self.tokenizer, turns, tokenize=False))

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer.encode(text)
        return without_doubled_bos(tokens, self.tokenizer.bos_token_id)

    def unfit(self, tokens: list[int], new: int) -> str:
        """Why the model cannot read the tokens and add `new` more; empty where it can."""
        if not tokens:
            return "it comes to no token at all, from which the model could go on"
        if self.room is None or len(tokens) + new <= self.room:
            return ""
        if not new or len(tokens) >= self.room:
            return (
                f"it has {len(tokens)} tokens, which exceeds the context of {self.room} (the "
                "model's own, or max_length where that is less): shorten it"
            )
        return (
            f"it has {len(tokens)} tokens; with {new} new ones it exceeds the model's context of "
            f"{self.room}: shorten it, or lower max_new_tokens to {self.room - len(tokens)} or less"
        )


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, with a token to pad with. Raises MoraError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # whatever a file that people edited leads to
        raise MoraError(
            f"The tokenizer in {folder} cannot be loaded ({told(error)}); name a whole model."
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise MoraError(
            f"The tokenizer in {folder} has no token to pad with and none that ends a text; name "
            "its pad_token or eos_token in tokenizer_config.json."
        )
    return tokenizer


def check_vocabulary(tokenizer: Any, embeddings: int | None) -> None:
    """Raises MoraError where the tokenizer has a token that the model does not know."""
    last = max(tokenizer.get_vocab().values(), default=0)
    if embeddings is not None and last >= embeddings:
        raise MoraError(
            f"The tokenizer in {tokenizer.name_or_path} numbers its tokens up to {last}, but the "
            f"model has {embeddings} of them; copy the tokenizer that belongs to the weights."
        )


# What templates raise, and what happens in them to values that they did not expect.
CANNOT_SHOW = (jinja2.TemplateError, TypeError, ValueError, LookupError)


def check_template(tokenizer: Any) -> None:
    """Raises MoraError where the tokenizer has no chat template, or one that is broken or shows
    nothing of a message. What one makes of other turns than these shows when it is given them."""
    try:
        shown = [
            _rendered(tokenizer, [{"role": "user", "content": text}], tokenize=False)
            for text in PROBES
        ]
    except CANNOT_SHOW:
        return
    if shown[0] == shown[1]:
        raise MoraError(
            f"The chat template of {tokenizer.name_or_path} shows nothing of a user's message; "
            "correct it."
        )


def through_template(tokenizer: Any, turns: Turns, **options: Any) -> Any:
    """The turns as the chat template shows them, text or tokens by the options of transformers'
    `apply_chat_template`. Raises MoraError."""
    try:
        return _rendered(tokenizer, turns, **options)
    except CANNOT_SHOW as error:
        raise MoraError(
            f"The chat template of {tokenizer.name_or_path} cannot show this conversation "
            f"({told(error)}); leave out what it does not know, such as a system message."
        ) from error


def _rendered(tokenizer: Any, turns: Turns, **options: Any) -> Any:
    folder = tokenizer.name_or_path
    if not tokenizer.chat_template:
        raise MoraError(f"The tokenizer in {folder} has no chat template; add one.")
    try:
        return tokenizer.apply_chat_template(turns, **options)
    except jinja2.TemplateSyntaxError as error:
        raise MoraError(
            f"The chat template of {folder} is broken, in line {error.lineno}: {error.message}; "
            "correct it."
        ) from error


def without_doubled_bos(tokens: list[int], bos: int | None) -> list[int]:
    """The tokens with one beginning-of-sequence token where there were two.

    A text made by a chat template holds one already, and the tokenizer adds another.
    """
    doubled = bos is not None and tokens[:2] == [bos, bos]
    return tokens[1:] if doubled else tokens


def stated_pad(config: Any) -> int | None:
    """The token that a model's own config pads with; None where it states none that is a token."""
    pad = getattr(config, "pad_token_id", None)
    return pad if isinstance(pad, int) and pad >= 0 else None


def up_to_pooled(tokens: list[int], pad: int | None) -> list[int]:
    """The tokens up to the last that is not `pad`, where transformers' sequence classification
    reads its value; all of them where there is no such token."""
    end = next((at for at in range(len(tokens), 0, -1) if tokens[at - 1] != pad), len(tokens))
    return tokens[:end]
