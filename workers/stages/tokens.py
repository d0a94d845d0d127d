"""Lengths of texts in the tokens of the policy that will read them.

The tokenizer file is read without torch; a policy without one (an endpoint's) counts words.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from alignment.method.language import words
from alignment.models import Policy


def counter_of(policy: Policy) -> Callable[[str], int]:
    """A function from a text to its number of tokens, or of words where there is no tokenizer."""
    path = policy.path / "tokenizer.json"
    if not policy.folder or not path.is_file():
        return lambda text: len(words(text))
    return _counter(path, policy.sha256)


@lru_cache(maxsize=4)
def _counter(path: Path, sha256: str) -> Callable[[str], int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
