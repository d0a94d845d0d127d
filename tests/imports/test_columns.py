"""Which column is which: by its usual name, or as it is asked."""

import pytest

from alignment.importing.columns import choose
from alignment.importing.rows import Unreadable


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        (["goal", "target"], {"prompt": "goal"}),
        (["Type", "Category", "Question"], {"prompt": "Question", "kind": "Category"}),
        (["id", "prompt", "type", "label"], {"id": "id", "prompt": "prompt", "kind": "label"}),
        (["instruction", "output"], {"prompt": "instruction", "completion": "output"}),
    ],
)
def test_usual_names_are_known(columns: list[str], chosen: dict[str, str]) -> None:
    assert choose(columns, {}, ["prompt"]) == chosen


def test_what_is_asked_goes_first_and_is_not_guessed_again() -> None:
    chosen = choose(["prompt", "output"], {"prompt": "output"}, ["prompt"])
    assert chosen == {"prompt": "output"}


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "no column looks like the prompt (prompt=COLUMN names one); the file has 'a', 'b'"),
        ({"prompt": "c"}, "no column 'c' for the prompt; the file has 'a', 'b'"),
        ({"promt": "a"}, "nothing is called 'promt' here; it is one of 'prompt', 'completion'"),
    ],
)
def test_what_cannot_be_found_is_told_with_what_there_is(
    asked: dict[str, str], sentence: str
) -> None:
    with pytest.raises(Unreadable) as failure:
        choose(["a", "b"], asked, ["prompt"])
    assert sentence in str(failure.value)
