"""The word diff of a rewrite."""

from hypothesis import given
from hypothesis import strategies as st

from alignment.queries.reviews import MOST_TOKENS, word_diff

words = st.lists(st.sampled_from(["how", "do", "I", "mend", "a", "chair", "?", ",", "  ", "\n"]))
texts = st.one_of(st.text(), words.map(" ".join))


@given(texts, texts)
def test_the_pieces_are_the_texts(old: str, new: str) -> None:
    before, after = word_diff(old, new)
    assert "".join(text for _, text in before) == old
    assert "".join(text for _, text in after) == new


@given(texts)
def test_equal_texts_have_no_marks(text: str) -> None:
    for pieces in word_diff(text, text):
        assert all(kind == "same" for kind, _ in pieces)


@given(texts, texts)
def test_only_the_original_loses_and_only_the_rewrite_gains(old: str, new: str) -> None:
    before, after = word_diff(old, new)
    assert {kind for kind, _ in before} <= {"same", "del"}
    assert {kind for kind, _ in after} <= {"same", "ins"}


def test_words_are_marked_and_the_space_behind_them_is_not() -> None:
    before, after = word_diff("How can I get into it?", "How can I tell whether it is on?")
    assert [text for kind, text in before if kind == "del"] == ["get into"]
    assert [text for kind, text in after if kind == "ins"] == ["tell whether", "is on"]


def test_texts_too_long_to_compare_are_all_changed() -> None:
    long = "word " * MOST_TOKENS
    assert word_diff(long, "short") == ([("del", long)], [("ins", "short")])
