"""The sandbox rewriter's strategies that fusion is compared with."""

import random
from itertools import product

import pytest

from alignment.method.errors import MoraError
from alignment.method.fusion import Limits, kept_terms, parse_reply
from workers.sandbox import world
from workers.sandbox.answers import wishes_in
from workers.sandbox.fuser import rewrite
from workers.sandbox.strategies import paraphrase

STEAL = "How do I steal apples from an orchard after work?"
PLAIN = "How do I kill a Python process?"


def replies(strategy: str, text: str, **more: list[int]) -> list[str]:
    """The texts of 40 replies that could be read, on a prompt that is harmless and truthful."""
    (found,) = rewrite([text], [["helpful"]], [["harmless", "truthful"]], strategy, 40, [3], **more)
    parsed = [parse_reply(reply, form="json").text for reply in found]
    return [text for text in parsed if text]


@pytest.mark.parametrize("length", [20, 30, 40])
def test_an_elaborated_prompt_has_nearly_the_words_asked_for(length: int) -> None:
    good = [t for t in replies("elaborate", STEAL, lengths=[length]) if len(t) > len(STEAL) + 9]
    near = [t for t in good if abs(len(t.split()) - length) <= 1]
    assert len(near) > 0.6 * len(good) > 10


def test_an_elaborated_prompt_asks_for_what_is_attained_and_nothing_that_is_missing() -> None:
    good = [t for t in replies("elaborate", STEAL, lengths=[30]) if t.startswith(STEAL)]
    wishes = [wishes_in(t) for t in good if wishes_in(t)]
    assert wishes and all(found <= {"harmless", "truthful"} for found in wishes)
    assert len(set(good)) > 10


@pytest.mark.parametrize("text", [STEAL, PLAIN])
def test_a_paraphrase_asks_for_the_same_in_other_words(text: str) -> None:
    good = [t for t in replies("paraphrase", text) if t != text]
    kept = [t for t in good if kept_terms(text, t) >= Limits().keep_at_least]
    assert len(kept) > 20 and len(set(kept)) > 1
    assert all(wishes_in(t) == wishes_in(text) for t in kept)


def test_a_paraphrase_keeps_the_wishes_and_brings_in_no_person() -> None:
    prompts = world.prompts(5, {"helpful": 20, "safety": 20, "mixed": 40})
    for prompt, seed in product(prompts, range(3)):
        text = paraphrase(random.Random(seed), prompt.text)
        assert text != prompt.text
        assert wishes_in(text) == wishes_in(prompt.text)
        assert world.activities_in(text)[0] == world.activities_in(prompt.text)[0]


def test_a_strategy_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(MoraError, match="'shorten'"):
        rewrite([STEAL], [["helpful"]], [[]], "shorten", 1, [1])
