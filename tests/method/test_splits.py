from hypothesis import given
from hypothesis import strategies as st

from alignment.method.language import content_words
from alignment.method.splits import HeldOut

TERMS = st.lists(st.sampled_from([f"term{i}" for i in range(12)]), min_size=1, max_size=24)


def test_what_differs_in_common_words_order_case_and_points_is_held_out() -> None:
    held_out = HeldOut(["How do I kill a Python process?", "Tell me about the weather in Rome."])
    assert held_out.has("how can I kill a python process")
    assert held_out.has("The Rome weather: tell me!")
    assert held_out.has("How do I kill a Python process?")


def test_a_prompt_of_another_word_is_another_prompt() -> None:
    held_out = HeldOut(["How do I kill a Python process?", "What is this?"])
    assert not held_out.has("How do I kill a Python thread?")
    assert not held_out.has("How do I kill a Python?")
    assert held_out.has("What is this")
    assert not held_out.has("What are these?")
    assert not HeldOut([]).has("What is this?")


def test_texts_without_a_word_are_compared_as_they_are() -> None:
    assert HeldOut(["?!"]).has(" ?! ")
    assert not HeldOut(["?!", ""]).has("!!!")


def test_of_a_long_text_one_word_in_twenty_may_differ() -> None:
    names = [f"name{i}" for i in range(20)]
    held_out = HeldOut([" ".join(names)])
    assert held_out.has(" ".join(["other", *names[1:]]))  # 19 of 21
    assert not held_out.has(" ".join(["other", "another", *names[2:]]))  # 18 of 22


@given(held=st.lists(TERMS, max_size=6), asked=TERMS)
def test_it_finds_what_comparing_every_two_texts_finds(
    held: list[list[str]], asked: list[str]
) -> None:
    one = content_words(" ".join(asked))
    others = [content_words(" ".join(terms)) for terms in held]
    near = any(10 * len(one & other) >= 9 * len(one | other) for other in others)
    assert HeldOut(" ".join(terms) for terms in held).has(" ".join(asked)) is near
