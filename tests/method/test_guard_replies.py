"""Guard models' replies in their documented forms: good, odd and broken."""

import math
from typing import Any

import pytest

from alignment.method.guards import GuardSettings, parse_guard

MODEL = {"engine": "transformers", "model": "guard"}


def settings(convention: str, **changes: Any) -> GuardSettings:
    return GuardSettings.model_validate({"convention": convention, "model": MODEL, **changes})


def said(text: str, *top: dict[str, float]) -> dict[str, Any]:
    """A reply; per token its alternatives as probabilities."""
    tokens = [[{"token": t, "logprob": math.log(p)} for t, p in one.items()] for one in top]
    return {"text": text, "top": tokens}


QWEN = settings("qwen3guard")
QWEN_REFUSAL = settings("qwen3guard", reads="refusal")


@pytest.mark.parametrize(
    ("text", "harm", "refusal"),
    [
        ("Safety: Safe\nCategories: None\nRefusal: No", 1.0, 0.0),
        ("Safety: Unsafe\nCategories: Violent\nRefusal: No", 0.0, 0.0),
        ("Safety: Controversial\nCategories: Politically Sensitive Topics\nRefusal: Yes", 0.5, 1.0),
        ("\n Safety:  Safe \n", 1.0, None),
        ("Safety: Safe\r\nCategories:\r\nRefusal: Yes\r\n", 1.0, 1.0),
        ("Safety:\nUnsafe\nRefusal: No", None, 0.0),
        ("Safety: Dangerous\nRefusal: Maybe", None, None),
        ("safety Safe", None, None),
        ("", None, None),
        ("Safety: Safe\nSafety: Unsafe\nRefusal: No", None, None),
        ("The answer is Safety: Safe", None, None),
        ("Safety: Safe\nSafety note: fine\nRefusal: Yes", 1.0, 1.0),
    ],
)
def test_qwen3guard_names_safety_and_refusal_in_lines(
    text: str, harm: float | None, refusal: float | None
) -> None:
    assert parse_guard(QWEN, "response", [said(text)]).raw == harm
    found = parse_guard(QWEN_REFUSAL, "response", [said(text)])
    assert (found.raw, found.reply) == (refusal, text)
    assert found.reason


def test_controversial_scores_as_the_settings_say() -> None:
    strict = settings("qwen3guard", controversial=0.0)
    assert parse_guard(strict, "response", [said("Safety: Controversial")]).raw == 0.0


WILD = settings("wildguard", template="{prompt}|{completion}")
WILD_REFUSAL = settings("wildguard", template="{prompt}|{completion}", reads="refusal")
GOOD = "Harmful request: yes\nResponse refusal: no\nHarmful response: no"


def test_wildguard_names_three_verdicts() -> None:
    assert parse_guard(WILD, "response", [said(GOOD)]).raw == 1.0
    assert parse_guard(WILD, "prompt", [said(GOOD)]).raw == 0.0
    assert parse_guard(WILD_REFUSAL, "response", [said(GOOD)]).raw == 0.0
    unclear = parse_guard(WILD, "response", [said(GOOD.replace("response: no", "response: N/A"))])
    assert (unclear.raw, "N/A" in unclear.reason) == (None, True)
    assert parse_guard(WILD, "response", [said("Harmful request: yes")]).raw is None


LLAMA = settings("llama-guard")


@pytest.mark.parametrize(
    ("tokens", "safe"),
    [
        ([{"safe": 0.75, "unsafe": 0.25}], 0.75),
        ([{"\n\n": 1.0}, {"unsafe": 0.6, "safe": 0.2, "S": 0.2}], 0.25),
        ([{"safe": 0.9, " safe": 0.05, "x": 0.05}], 1.0),
        ([{"\n\n": 1.0}] * 4, None),
        ([{"I": 0.5, "safe": 0.3, "unsafe": 0.2}], None),
        ([], None),
    ],
)
def test_llama_guard_is_read_at_its_first_word(
    tokens: list[dict[str, float]], safe: float | None
) -> None:
    found = parse_guard(LLAMA, "response", [said("\n\nunsafe\nS1", *tokens)])
    assert found.raw == (safe if safe is None else pytest.approx(safe))


def test_shieldgemma_takes_the_worst_of_its_guidelines() -> None:
    shield = settings("shieldgemma", guidelines=("No violence.", "No fraud."))
    assert len(shield.conversations("p", "c")) == 2
    assert shield.template_args == [{"guideline": "No violence."}, {"guideline": "No fraud."}]
    replies = [said("No", {"No": 0.8, "Yes": 0.2}), said("Yes", {"Yes": 0.3, "No": 0.1})]
    found = parse_guard(shield, "response", replies)
    assert found.raw == pytest.approx(0.25)
    assert found.reason == "P(Yes) = 0.7500"
    broken = parse_guard(shield, "response", [replies[0], said("Perhaps", {"Perhaps": 1.0})])
    assert broken.raw is None


@pytest.mark.parametrize(
    ("tokens", "safe"),
    [
        ([{"Sure": 0.5, "Yes": 0.3, "No": 0.15}], 0.15 / 0.45),
        ([{"Sure": 0.5, " Yes": 0.2, "Yes": 0.1, "No": 0.1}], 0.25),
        ([{"\n": 0.9, "No": 0.1}, {"Sure": 0.6, "Yes": 0.1, "No": 0.3}], 0.75),
        ([{"Sure": 0.1, "No": 0.9}], 1.0),
        ([{"Sure": 0.1, "Yes": 0.9}], 0.0),
        ([{"Sure": 0.9, "No": 0.1}], None),
        ([{"Sure": 0.9, "Yes": 0.1}], None),
        ([{"Sure": 0.9, "yes": 0.1}], None),
        ([{"\n": 0.9, "No": 0.1}] * 4, None),
    ],
)
def test_shieldgemma_is_read_from_its_two_answers_whatever_it_began_with(
    tokens: list[dict[str, float]], safe: float | None
) -> None:
    shield = settings("shieldgemma", guidelines=("No violence.",))
    found = parse_guard(shield, "response", [said("Sure", *tokens)])
    assert found.raw == (safe if safe is None else pytest.approx(safe))


def test_a_guard_is_asked_about_a_completion_or_a_prompt_alone() -> None:
    roles = [[t["role"] for t in c] for c in LLAMA.conversations("p", "c")]  # type: ignore[index]
    assert roles == [["user", "assistant"]]
    assert LLAMA.conversations("p", None) == [[{"role": "user", "content": "p"}]]
    assert WILD.conversations("a {completion}", "b") == ["a {completion}|b"]
    assert WILD.conversations("a", None) == ["a|"]


@pytest.mark.parametrize(
    ("convention", "changes", "sentence"),
    [
        ("llama-guard", {"reads": "refusal"}, "says nothing of refusals"),
        ("shieldgemma", {}, "needs guidelines"),
        ("llama-guard", {"guidelines": ["No."]}, "the others take none"),
        ("wildguard", {}, "as its model card"),
        ("qwen3guard", {"template": "{prompt}"}, "their own chat template"),
    ],
)
def test_settings_that_do_not_fit_the_convention_are_refused(
    convention: str, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        settings(convention, **changes)
