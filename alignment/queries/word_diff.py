"""What changed between two texts, word by word, in pieces that a page marks."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

MOST_TOKENS = 2000
TOKEN = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
# Pieces of text, each `same`, `del` or `ins`.
Pieces = list[tuple[str, str]]


def word_diff(old: str, new: str) -> tuple[Pieces, Pieces]:
    """Both texts in pieces, word by word; of texts too long to compare, all is changed."""
    before: Pieces = []
    after: Pieces = []
    for same, gone, came in _changes(old, new):
        _add(before, "same" if same else "del", gone)
        _add(after, "same" if same else "ins", came)
    return before, after


def inline_diff(old: str, new: str) -> Pieces:
    """Both texts as one: what went stands before what came in its place."""
    pieces: Pieces = []
    for same, gone, came in _changes(old, new):
        if not same:
            _add(pieces, "del", gone)
            if came and gone and not gone[-1].isspace():
                pieces.append(("same", " "))
        _add(pieces, "same" if same else "ins", came)
        if not same and came and not came[-1].isspace() and gone[-1:].isspace():
            pieces.append(("same", " "))
    return pieces


def _changes(old: str, new: str) -> Iterator[tuple[bool, str, str]]:
    """Runs of words in turn: whether both texts share them, and how each writes them."""
    a, b = TOKEN.findall(old), TOKEN.findall(new)
    if len(a) + len(b) > MOST_TOKENS:
        yield False, old, new
        return
    # A word is the same whatever space stands behind it.
    matcher = SequenceMatcher(None, [t.strip() for t in a], [t.strip() for t in b], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        yield tag == "equal", "".join(a[i:j]), "".join(b[k:m])


def _add(pieces: Pieces, kind: str, text: str) -> None:
    """Add a piece, with the space behind it on its own, so that marks end at the word."""
    word = text.rstrip()
    if word:
        pieces.append((kind, word))
    if text[len(word) :]:
        pieces.append(("same", text[len(word) :]))
