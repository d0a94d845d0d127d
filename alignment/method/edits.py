"""How far a person's edit is from the suggestion, in words."""

import numpy as np

MOST_CELLS = 25_000_000


def word_distance(before: str, after: str) -> int | None:
    """Levenshtein distance between two texts as lists of words (parted by white space): the least
    number of words to put in, take out or change.

    None where the differing middles are too long to compare (over 25 million pairs of words).
    """
    a, b = before.split(), after.split()
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    a, b = a[start:], b[start:]
    while a and b and a[-1] == b[-1]:
        a.pop()
        b.pop()
    if len(a) * len(b) > MOST_CELLS:
        return None
    codes: dict[str, int] = {}
    ours, theirs = ([codes.setdefault(word, len(codes)) for word in words] for words in (a, b))
    columns = np.array(theirs, dtype=np.int64)
    steps = np.arange(len(theirs) + 1)
    row = steps
    for i, code in enumerate(ours, 1):
        kept = row[:-1] + (columns != code)
        down = np.minimum(row[1:] + 1, kept)
        # A word put in costs one more than the cell to the left: a running minimum.
        row = np.minimum.accumulate(np.concatenate(([i], down)) - steps) + steps
    return int(row[-1])
