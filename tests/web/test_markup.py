"""The small markup of guidelines."""

from hypothesis import given
from hypothesis import strategies as st

from alignment.markup import blocks, parts


def test_headings_lists_and_paragraphs_are_told_apart() -> None:
    text = "# Keep\n- the intent\n- the tone\n\n1. first\n2) second\n\nTwo\nlines"
    found = [
        (block.kind, ["".join(t for _, t in line) for line in block.lines])
        for block in blocks(text)
    ]
    assert found == [
        ("h", ["Keep"]),
        ("ul", ["the intent", "the tone"]),
        ("ol", ["first", "second"]),
        ("p", ["Two", "lines"]),
    ]


def test_strong_and_code_stand_inside_a_line() -> None:
    assert parts("Use `edit` for **small** slips") == [
        ("same", "Use "),
        ("code", "edit"),
        ("same", " for "),
        ("b", "small"),
        ("same", " slips"),
    ]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="*`")))
def test_a_line_without_marks_is_kept_as_it_is(line: str) -> None:
    assert "".join(text for _, text in parts(line)) == line


@given(st.text())
def test_no_text_is_lost_or_broken_by_any_markup(text: str) -> None:
    kept = "".join(t for block in blocks(text) for line in block.lines for _, t in line)
    wanted = [c for c in text if c.isalpha()]
    assert [c for c in kept if c.isalpha()] == wanted
