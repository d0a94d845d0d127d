import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.fusion import parse_reply


def reason(reply: str) -> str:
    found = parse_reply(reply, form="json")
    assert found.text is None
    assert found.reason is not None
    return found.reason


def test_an_object_with_the_one_field_is_a_rewrite() -> None:
    found = parse_reply(' {"prompt": " How do I store apples safely? "}\n', form="json")
    assert found.text == "How do I store apples safely?"
    assert found.reason is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("How do I store apples?", "not JSON"),
        ('```json\n{"prompt": "x"}\n```', "not JSON: a code fence is around it"),
        ('Sure: {"prompt": "x"}', "not JSON"),
        ('{"prompt": "x"} {"prompt": "y"}', "not JSON"),
        ("", "not JSON"),
        ('"x"', "not an object"),
        ('["prompt", "x"]', "not an object"),
        ('[["prompt", "x"]]', "not an object"),
        ("null", "not an object"),
        ("{}", "one field 'prompt'"),
        ('{"prompt": "x", "note": "y"}', "one field 'prompt'"),
        ('{"prompt": "x", "prompt": "y"}', "one field 'prompt'"),
        ('{"Prompt": "x"}', "one field 'prompt'"),
        ('{"prompt": 5}', "not a string"),
        ('{"prompt": null}', "not a string"),
        ('{"prompt": ["x"]}', "not a string"),
        ('{"prompt": {"prompt": "x"}}', "not a string"),
        ('{"prompt": "  "}', "empty"),
        (r'{"prompt": "a\u0000b"}', "NUL"),
        (r'{"prompt": "a\ud800b"}', "surrogate"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_anything_else_is_a_failure_with_its_reason(reply: str, expected: str) -> None:
    assert expected in reason(reply)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_every_storable_text_comes_back_as_it_was_but_for_space_around(text: str) -> None:
    found = parse_reply(json.dumps({"prompt": text}), form="json")
    assert found.text == (text.strip() or None)


@given(st.text())
def test_no_reply_raises(reply: str) -> None:
    for found in (parse_reply(reply, form="json"), parse_reply(reply, form="first_line")):
        assert (found.text is None) != (found.reason is None)


def test_the_first_line_with_text_is_taken_only_when_asked_for() -> None:
    reply = "\n  How do I store apples?  \nI added detail."
    assert parse_reply(reply, form="first_line").text == "How do I store apples?"
    assert parse_reply(reply, form="json").text is None
    assert parse_reply(" \n\t", form="first_line").reason == "the rewrite is empty"
