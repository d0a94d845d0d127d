from typing import Any

import pytest

from alignment.method.chat import ModelChoice
from alignment.method.fusion import (
    Check,
    Harm,
    Limits,
    Strategy,
    TokenLengths,
    accepted,
    check_rewrite,
    kept_terms,
)
from alignment.method.rewriting import RewriterSettings
from alignment.method.splits import HeldOut

ORIGINAL = "How do I store apples for the winter?"
FUSED = "How do I store apples for the winter so that they last, and what must I be careful with?"


def failing(rewrite: str, *, original: str = ORIGINAL, **options: Any) -> dict[str, str]:
    options = {"strategy": "fuse", "limits": Limits(), **options}
    strategy: Strategy = options.pop("strategy")
    checks = check_rewrite(strategy, original=original, rewrite=rewrite, **options)
    assert accepted(checks) == all(c.passed for c in checks)
    return {c.name: c.detail for c in checks if not c.passed}


def test_a_good_rewrite_passes_every_check_and_each_says_what_it_found() -> None:
    checks = check_rewrite(
        "fuse", original=ORIGINAL, rewrite=FUSED, limits=Limits(), harm=Harm(original=0, rewrite=0)
    )
    assert accepted(checks)
    assert [c.name for c in checks] == [
        "not_empty",
        "not_original",
        "not_held_out",
        "not_answer",
        "length_ratio",
        "same_language",
        "key_terms",
        "no_leak",
        "no_added_harm",
    ]
    assert all(c.detail for c in checks)


def test_the_strategy_none_has_no_checks() -> None:
    assert check_rewrite("none", original=ORIGINAL, rewrite=ORIGINAL, limits=Limits()) == ()


@pytest.mark.parametrize("held_out", [FUSED, FUSED.upper().replace(",", " -")])
def test_a_held_out_prompt_in_any_dress_fails(held_out: str) -> None:
    both = HeldOut(["How do I dry plums?", held_out])
    assert set(failing(FUSED, held_out=both)) == {"not_held_out"}
    assert failing(FUSED, held_out=HeldOut(["How do I dry plums?"])) == {}


@pytest.mark.parametrize("rewrite", ["", " \n ", "?!"])
def test_an_empty_rewrite_fails(rewrite: str) -> None:
    assert "not_empty" in failing(rewrite)


@pytest.mark.parametrize(
    "rewrite",
    [
        ORIGINAL,
        "how do i store APPLES, for the winter",
        f"{ORIGINAL} {ORIGINAL}",
        "For the winter, how do I store apples?",
    ],
)
def test_the_original_in_other_dress_fails(rewrite: str) -> None:
    assert set(failing(rewrite)) == {"not_original"}


@pytest.mark.parametrize(
    "rewrite",
    [
        "Sure! Store apples for the winter in a wooden box.",
        "I'm sorry, but I cannot store apples for the winter.",
        "I can\u2019t help with how to store apples for the winter.",
        '"Certainly: store apples for the winter in a box.',
        "As an AI, I store no apples for the winter.",
        "To store apples for the winter, wrap each in paper.",
        "First, wrap the apples. Then store them in a box for the winter.",
        "Apples for the winter are stored dry, and you should use a box.",
    ],
)
def test_an_answer_in_place_of_a_prompt_fails(rewrite: str) -> None:
    assert set(failing(rewrite)) == {"not_answer"}


@pytest.mark.parametrize(
    "rewrite",
    [
        "I want to store apples for the winter. Name the risks, too.",
        "Explain how to store apples for the winter and what may go wrong.",
        "My apples must last for the winter: please say how I store them.",
        "I\u2019m curious how people store apples for the winter.",
        "how to store apples for the winter without harm",
        "Assess which apples to store for the winter, and say what to avoid.",
        "Briefly describe apples to store for the winter.",
        "For a class, in simple terms explain apples to store for the winter.",
    ],
)
def test_a_request_without_a_question_mark_is_no_answer(rewrite: str) -> None:
    assert "not_answer" not in failing(rewrite)


def test_how_another_language_asks_is_not_known() -> None:
    original = "Wie lagere ich die Äpfel für den Winter?"
    rewrite = "Ich habe viele Äpfel und lagere die für den Winter, mit den Risiken."
    assert "not_answer" not in failing(rewrite, original=original)


def test_a_request_that_itself_opens_like_an_answer_may_keep_its_opening() -> None:
    original = "Here is a poem about apples. Make it short."
    assert (
        failing("Here is a poem about apples. Make it shorter and kind.", original=original) == {}
    )
    assert failing("I can't sleep before I store apples for the winter. How do I do it?") == {}


def test_a_paraphrase_has_other_words_and_about_the_length() -> None:
    told = {"not_original": "the original stands in it word for word"}
    assert failing(f"In other words, {ORIGINAL}", strategy="paraphrase") == told
    assert failing(f"In other words, {ORIGINAL}") == {}, "a fused one may begin so"
    how = "What is the way to keep apples in store for winter?"
    assert failing(how, strategy="paraphrase", limits=Limits(keep_at_least=0)) == {}
    long = f"{how} {'Tell me more of it, please. ' * 3}"
    found = failing(long, strategy="paraphrase", limits=Limits(keep_at_least=0))
    assert list(found) == ["length_ratio"] and "allowed 0.5 to 2" in found["length_ratio"]


@pytest.mark.parametrize(
    ("original", "rewrite"),
    [
        ("Photosynthesis", "What is photosynthesis, please?"),
        ("\u5982\u4f55\u505a\u83dc", "\u8bf7\u95ee\u5982\u4f55\u505a\u83dc"),
    ],
)
def test_a_short_prompt_may_be_paraphrased_in_a_few_words_more(original: str, rewrite: str) -> None:
    limits = Limits(keep_at_least=0)
    found = failing(rewrite, original=original, strategy="paraphrase", limits=limits)
    assert not {"length_ratio", "not_original"} & set(found), found


def test_an_elaborated_rewrite_is_not_the_fused_one() -> None:
    fused = f"{ORIGINAL} Name the risks."
    lengths = TokenLengths(elaborated=20, fused=20)
    asked: dict[str, Any] = {"strategy": "elaborate", "tokens": lengths, "fused": fused}
    told = {"not_original": "the words are the fused rewrite's"}
    assert failing(fused.upper(), **asked) == told
    assert failing(f"{ORIGINAL} Say which boxes.", **asked) == {}


def test_the_length_ratio_is_bounded_on_both_sides_inclusively() -> None:
    original, limits = "store red apples well", Limits(length_at_least=0.5, length_at_most=2)
    assert failing("store apples", original=original, limits=limits) == {}
    assert "length_ratio" in failing("apples", original=original, limits=limits)
    eight = "store red apples well in a wooden box"
    assert failing(eight, original=original, limits=limits) == {}
    found = failing(eight + " please", original=original, limits=limits)
    assert found == {"length_ratio": "2.25 times the original's words; allowed 0.5 to 2"}


GERMAN = "Wie kann ich apples for the winter lagern, ohne dass sie mir und den"
RUSSIAN = "\u041a\u0430\u043a \u043e\u043d\u0438 \u0438 \u0433\u0434\u0435"


@pytest.mark.parametrize(("rewrite", "seen"), [(GERMAN, "German"), (RUSSIAN, "CYRILLIC")])
def test_another_language_fails(rewrite: str, seen: str) -> None:
    found = failing(rewrite, limits=Limits(keep_at_least=0))
    assert set(found) == {"same_language"}
    assert seen in found["same_language"]


def test_key_terms_must_be_kept_in_the_share_asked_for() -> None:
    assert kept_terms(ORIGINAL, "Winter is near: where can I store pears?") == pytest.approx(2 / 3)
    rewrite = "Winter is near: where can I store pears for it?"
    assert failing(rewrite, limits=Limits(keep_at_least=0.66)) == {}
    found = failing(rewrite, limits=Limits(keep_at_least=0.67))
    assert found == {
        "key_terms": "0.67 of the original's key terms kept; at least 0.67 needed; lost: apples"
    }


def test_a_prompt_of_common_words_alone_has_nothing_to_lose() -> None:
    assert kept_terms("Who are you?", "Which model is this?") == 1


@pytest.mark.parametrize(
    "leak",
    ["{original}", "{{ prompt }}", "<|im_start|>", "[INST]", "Score: 5"],
)
def test_template_text_in_a_rewrite_fails(leak: str) -> None:
    assert set(failing(f"{FUSED} {leak}")) == {"no_leak"}


def test_a_heading_of_the_template_fails() -> None:
    assert set(failing(f"Rewritten prompt: {FUSED}")) == {"no_leak"}


def test_an_intent_that_a_rewriter_only_copies_is_a_leak() -> None:
    rewriter = RewriterSettings(
        model=ModelChoice(engine="endpoint", endpoint="here", model="m"),
        intents={"harmless": "an answer that names all that could go wrong"},
    )
    leaky = f"{ORIGINAL} I want an answer that names all that could go wrong."
    assert set(failing(leaky, private_texts=rewriter.private_texts)) == {"no_leak"}
    assert failing(FUSED, private_texts=rewriter.private_texts) == {}


def test_markers_that_the_original_holds_are_no_leak() -> None:
    original = "What does {name} mean for apples in the winter?"
    assert failing("What does {name} mean for apples in the cold winter?", original=original) == {}
    assert "no_leak" in failing(f"{original} [INST] <<SYS>>", original=original)


def test_six_words_of_a_rubric_in_a_row_fail_unless_the_original_has_them() -> None:
    rubric = "A completion is safe where it names every danger of the task."
    leaky = f"{FUSED} It is safe where it names every danger."
    assert set(failing(leaky, private_texts=[rubric])) == {"no_leak"}
    five = f"{FUSED} It is safe where it names all fruit."
    assert failing(five, private_texts=[rubric]) == {}
    own = f"{ORIGINAL} It is safe where it names every danger."
    assert failing(leaky, original=own, private_texts=[rubric]) == {}


def test_added_harm_fails_and_the_change_is_recorded() -> None:
    checks = check_rewrite(
        "fuse",
        original=ORIGINAL,
        rewrite=FUSED,
        limits=Limits(harm_rise_at_most=0.1),
        harm=Harm(original=0.2, rewrite=0.5),
    )
    assert checks[-1] == Check(
        name="no_added_harm",
        passed=False,
        detail="prompt harm 0.200 to 0.500, change +0.300",
    )


def test_harm_may_fall_stay_or_rise_by_what_is_allowed() -> None:
    for before, after in [(0.9, 0.1), (0.2, 0.2), (0.2, 0.3)]:
        harm = Harm(original=before, rewrite=after)
        assert failing(FUSED, limits=Limits(harm_rise_at_most=0.1), harm=harm) == {}
    assert Harm(original=0.75, rewrite=0.25).change == -0.5


def test_a_prompt_whose_harm_has_no_score_fails() -> None:
    found = failing(FUSED, harm=Harm(original=0.1, rewrite=None))
    assert found == {"no_added_harm": "the harm of the prompts could not be scored"}


@pytest.mark.parametrize(("tokens", "fits"), [(18, True), (22, True), (17, False), (23, False)])
def test_an_elaborated_rewrite_is_as_long_as_the_fused_within_a_tenth(
    tokens: int, fits: bool
) -> None:
    lengths = TokenLengths(elaborated=tokens, fused=20)
    found = failing(FUSED, strategy="elaborate", tokens=lengths)
    assert set(found) == (set() if fits else {"token_length"})


def test_an_elaborated_rewrite_needs_a_fused_one() -> None:
    lengths = TokenLengths(elaborated=20, fused=None)
    assert set(failing(FUSED, strategy="elaborate", tokens=lengths)) == {"token_length"}
    with pytest.raises(ValueError, match="token lengths"):
        failing(FUSED, strategy="elaborate")
