"""From a conversation to a model's tokens, the same for every engine that has the tokenizer.

A conversation is a list of messages, put through the model's chat template, or one text for a
model without one. Its length is checked here, before anything is generated.
"""

from pathlib import Path
from typing import Any

import jinja2
from transformers import AutoTokenizer

from alignment.method.errors import MoraError


class Encoder:
    """A folder's tokenizer. `room` is the model's context in tokens, None where it is not said."""

    def __init__(self, folder: Path, room: int | None = None) -> None:
        self.folder = folder
        self.room = room
        self.tokenizer = load_tokenizer(folder)

    def prompt(self, text: str) -> list[int]:
        """The prompt as a user's turn, up to where the policy answers."""
        return self.conversation([{"role": "user", "content": text}])

    def conversation(
        self, conversation: Any, template_args: dict[str, Any] | None = None
    ) -> list[int]:
        """The conversation's tokens, up to where the model answers. Raises MoraError."""
        if isinstance(conversation, str):
            tokens: list[int] = self.tokenizer.encode(conversation)
            return without_doubled_bos(tokens, self.tokenizer.bos_token_id)
        check_template(self.folder, self.tokenizer)
        try:
            found: list[int] = self.tokenizer.apply_chat_template(
                conversation,
                add_generation_prompt=True,
                return_dict=False,
                **(template_args or {}),
            )
        except jinja2.TemplateError as error:
            raise MoraError(
                f"The chat template of {self.folder} cannot show this conversation ({error}); "
                "leave out what it does not know, such as a system message."
            ) from error
        return found

    def exchange(self, prompt: str, completion: str) -> list[int]:
        """Prompt and completion as a finished exchange without a system message."""
        check_template(self.folder, self.tokenizer)
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False)
        tokens: list[int] = self.tokenizer.encode(text)
        return without_doubled_bos(tokens, self.tokenizer.bos_token_id)

    def too_long(self, tokens: list[int], new: int) -> str:
        """Why the tokens leave no room for `new` more; empty where they do."""
        if self.room is None or len(tokens) + new <= self.room:
            return ""
        remedy = "shorten it or lower max_new_tokens" if new else "shorten it"
        return (
            f"it has {len(tokens)} tokens; with {new} new ones it exceeds the model's context of "
            f"{self.room}: {remedy}"
        )


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, with a token to pad with. Raises MoraError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise MoraError(
            f"The tokenizer in {folder} cannot be loaded ({error}); name a whole model."
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_template(folder: Path, tokenizer: Any) -> None:
    """Raises MoraError where the tokenizer has no chat template."""
    if tokenizer.chat_template is None:
        raise MoraError(f"The tokenizer in {folder} has no chat template; add one.")


def without_doubled_bos(tokens: list[int], bos: int | None) -> list[int]:
    """The tokens with one beginning-of-sequence token where there were two.

    A text made by a chat template holds one already, and the tokenizer adds another.
    """
    doubled = bos is not None and tokens[:2] == [bos, bos]
    return tokens[1:] if doubled else tokens
