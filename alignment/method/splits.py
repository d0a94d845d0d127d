"""Keeps held-out prompts, and what nearly is one of them, out of what is mined and trained on."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from alignment.method.language import content_words, words

# Of ten trigrams in either of two texts, so many are in both when the texts are near-duplicates.
_SHARED = 7


class HeldOut:
    """Held-out texts, to ask whether another text is a near-duplicate of one.

    Near-duplicates share seven tenths of the letter trigrams of their content words (the Jaccard
    index, as PostgreSQL's pg_trgm counts it), whatever the order, case, punctuation and common
    words; so a slip of the pen, another ending or one word of many makes no other prompt. It errs
    towards leaving a prompt out of training. A text of common words alone is compared by those.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        held = [_trigrams(text) for text in texts]
        self._sizes = np.array([len(trigrams) for trigrams in held], dtype=np.int64)
        places = defaultdict(list)
        for place, trigrams in enumerate(held):
            for trigram in trigrams:
                places[trigram].append(place)
        self._places = {trigram: np.array(own) for trigram, own in places.items()}

    def has(self, text: str) -> bool:
        """Whether the text is a near-duplicate of a held-out one."""
        own = _trigrams(text)
        found = [self._places[trigram] for trigram in own if trigram in self._places]
        if not found:
            return False
        shared = np.bincount(np.concatenate(found), minlength=len(self._sizes))
        either = len(own) + self._sizes - shared
        return bool((10 * shared >= _SHARED * either).any())


def _trigrams(text: str) -> frozenset[str]:
    """Three letters in a row of the padded content words; a text without a word is its own."""
    padded = [f"  {word} " for word in content_words(text) or words(text)]
    return frozenset(w[i : i + 3] for w in padded for i in range(len(w) - 2)) or frozenset([text])
