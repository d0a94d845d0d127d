"""The word diff of a rewrite."""

from hypothesis import given
from hypothesis import strategies as st

from alignment.queries.word_diff import MOST_TOKENS, inline_diff, word_diff

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
    gone = [("del", long.rstrip()), ("same", " ")]
    assert word_diff(long, "short") == (gone, [("ins", "short")])


def test_inline_says_what_went_before_what_came() -> None:
    old, new = "How can I get into it?", "How can I tell whether it is on, daily?"
    pieces = inline_diff(old, new)
    told = "".join(text if kind == "same" else f"[{kind} {text}]" for kind, text in pieces)
    assert told == "How can I [del get into] [ins tell whether] it [ins is on, daily]?"


def test_inline_parts_words_that_were_last_in_one_of_the_texts() -> None:
    pieces = inline_diff("mend it", "mend the chair well")
    told = "".join(text if kind == "same" else f"[{kind} {text}]" for kind, text in pieces)
    assert told == "mend [del it] [ins the chair well]"


@given(texts, texts)
def test_inline_holds_the_words_of_both_texts(old: str, new: str) -> None:
    pieces = inline_diff(old, new)
    for left_out, text in (("ins", old), ("del", new)):
        kept = "".join(piece for kind, piece in pieces if kind != left_out)
        assert "".join(kept.split()) == "".join(text.split())
