"""The distance of an edit from the suggestion, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.edits import word_distance

texts = st.lists(st.sampled_from(["a", "b", "c", "ä"]), max_size=6).map(" ".join)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", 0),
        ("mend the chair", "mend  the\nchair", 0),
        ("", "mend it", 2),
        ("mend the chair", "mend a chair", 1),
        ("mend the chair", "the chair", 1),
        ("how do I mend it", "how should I mend it well", 2),
        ("a b c d", "b c d a", 2),
    ],
)
def test_words_put_in_taken_out_and_changed_count_one_each(
    before: str, after: str, expected: int
) -> None:
    assert word_distance(before, after) == expected


def plain(a: list[str], b: list[str]) -> int:
    """Levenshtein's distance as its recursion reads."""
    if not a or not b:
        return len(a) + len(b)
    changed = plain(a[1:], b[1:]) + (a[0] != b[0])
    return changed if a[0] == b[0] else min(changed, 1 + plain(a[1:], b), 1 + plain(a, b[1:]))


@given(texts, texts)
def test_the_distance_is_its_definition(before: str, after: str) -> None:
    assert word_distance(before, after) == plain(before.split(), after.split())


def test_texts_too_long_to_compare_have_no_distance_but_equal_ends_do_not_count() -> None:
    long = " ".join(str(n) for n in range(6000))
    assert word_distance(long, " ".join(str(-n) for n in range(1, 6000))) is None
    assert word_distance(f"{long} a {long}", f"{long} b {long}") == 1
