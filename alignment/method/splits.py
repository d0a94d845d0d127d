"""Keeps held-out prompts, and what nearly is one of them, out of what is mined and trained on."""

from collections import defaultdict
from collections.abc import Iterable

from alignment.method.language import content_words, words

# Of ten words in either of two texts, so many are in both when the texts are near-duplicates.
_SHARED = 9


class HeldOut:
    """Held-out texts, to ask whether another text is a near-duplicate of one.

    Near-duplicates share nine tenths of their content words (Jaccard index), whatever the order,
    case, punctuation and common words. A text of common words alone is compared by those.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = [_terms(text) for text in texts]
        self._with: defaultdict[str, list[int]] = defaultdict(list)
        for place, terms in enumerate(self._texts):
            for term in terms:
                self._with[term].append(place)

    def has(self, text: str) -> bool:
        """Whether the text is a near-duplicate of a held-out one."""
        terms = _terms(text)
        # Near-duplicates lack at most a tenth of the terms, so one more than that meets them all.
        few = sorted(terms, key=lambda term: len(self._with.get(term, ())))
        few = few[: len(terms) * (10 - _SHARED) // 10 + 1]
        places = {place for term in few for place in self._with.get(term, ())}
        return any(_near(terms, self._texts[place]) for place in places)


def _near(one: frozenset[str], other: frozenset[str]) -> bool:
    return 10 * len(one & other) >= _SHARED * len(one | other)


def _terms(text: str) -> frozenset[str]:
    return content_words(text) or frozenset(words(text)) or frozenset([text.strip()])
