"""Keeps held-out prompts, and what is the same but for its spelling, out of what is mined."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def held_in(texts: Sequence[str], held_out: Sequence[str]) -> list[bool]:
    """Which texts are no near-duplicate of a held-out one.

    Near-duplicates have the same words in the same order, whatever their case, punctuation and
    spacing.
    """
    taken = {_words(text) for text in held_out}
    return [_words(text) not in taken for text in texts]


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))
