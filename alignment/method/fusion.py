"""What a rewriter's reply must be to become a prompt: strict parsing and the acceptance checks.

Each check says what it found, passed or not. Asking the rewriter, counting attempts and scoring
the prompts' harm are done elsewhere.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from alignment.method.asking import answering, asks
from alignment.method.chat import not_json
from alignment.method.config import PARAPHRASED_AT_MOST
from alignment.method.language import content_words, language, script, words
from alignment.method.splits import HeldOut

Strategy = Literal["fuse", "elaborate", "paraphrase", "none"]
STRATEGIES: tuple[Strategy, ...] = ("fuse", "elaborate", "paraphrase", "none")
TOKEN_LENGTH_WITHIN = 0.1
PARAPHRASED_WORDS = 4  # more than the original, however short that is
VERBATIM_WORDS, VERBATIM_LETTERS = 3, 12  # a shorter original may well stand in other words of it
LEAK_WORDS = 6

_TEMPLATE = re.compile(
    r"\{\{|\}\}|\{[A-Za-z_]+\}|<\|[^|<>]*\|>|\[/?INST\]|<</?SYS>>|</?s>|<(start|end)_of_turn>"
    r"|\A\W*((re-?written|new|fused|improved|revised|original) prompt|system|user|assistant)\s*:"
    r"|\b(score|rating|grade)\s*:\s*\d",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A rewriter's reply as data: the text of the rewrite, or why there is none."""

    text: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One acceptance check: what it is called, whether it passed, and what it found."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of the acceptance checks. Lengths are counted in words, as times the original's."""

    keep_at_least: float = 0.5
    length_at_least: float = 0.5
    length_at_most: float = 8.0
    harm_rise_at_most: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Harm:
    """Harm of two prompts' own texts, 0 harmless to 1; None where the judge gave no score."""

    original: float | None
    rewrite: float | None

    @property
    def change(self) -> float | None:
        """Harm of the rewrite less that of the original: below 0, the risk was defused."""
        if self.original is None or self.rewrite is None:
            return None
        return self.rewrite - self.original


@dataclass(frozen=True, kw_only=True)
class TokenLengths:
    """Policy tokens of an elaborated rewrite and of the fused rewrite of the same prompt."""

    elaborated: int
    fused: int | None


def parse_reply(reply: str, *, form: Literal["json", "first_line"]) -> Parsed:
    """The rewrite in a rewriter's reply: a JSON object {"prompt": text}, or its first line.

    json takes nothing else: no other field, no text or fence around it. first_line takes the
    first line that is not blank, as it is.
    """
    if form == "first_line":
        lines = (line.strip() for line in reply.splitlines())
        return _text(next((line for line in lines if line), ""))
    try:
        found = json.loads(reply, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return _no(not_json(reply))
    # An object arrives as its list of pairs, so that a repeated field shows.
    if not (isinstance(found, list) and reply.lstrip().startswith("{")):
        return _no("the reply is JSON but not an object")
    fields = [name for name, _ in found]
    if fields != ["prompt"]:
        return _no(f"the reply must have the one field 'prompt', not {fields}")
    value = found[0][1]
    return _text(value) if isinstance(value, str) else _no("the field 'prompt' is not a string")


def check_rewrite(
    strategy: Strategy,
    *,
    original: str,
    rewrite: str,
    limits: Limits,
    held_out: HeldOut | None = None,
    private_texts: Sequence[str] = (),
    harm: Harm | None = None,
    tokens: TokenLengths | None = None,
    fused: str = "",
) -> tuple[Check, ...]:
    """All acceptance checks on a rewrite; `none` has none. It is accepted when all pass.

    held_out: the prompts of evaluation, none of which it may nearly be. private_texts: the rubrics
    and templates that must not show in it. harm: None where the project has no harmless judge,
    and then that check is absent. tokens: for `elaborate` alone, which needs it (ValueError);
    fused: the fused rewrite, which an elaborated one must not be.
    """
    if strategy == "none":
        return ()
    checks = [
        _not_empty(rewrite),
        _not_original(strategy, original, rewrite, fused),
        _not_held_out(rewrite, held_out or HeldOut(())),
        _not_answer(original, rewrite),
        _length_ratio(strategy, original, rewrite, limits),
        _same_language(original, rewrite),
        _key_terms(original, rewrite, limits.keep_at_least),
        _no_leak(original, rewrite, private_texts),
    ]
    if harm is not None:
        checks.append(_no_added_harm(harm, limits.harm_rise_at_most))
    if strategy == "elaborate":
        checks.append(_token_length(tokens))
    return tuple(checks)


def accepted(checks: Iterable[Check]) -> bool:
    """Whether every check passed."""
    return all(check.passed for check in checks)


def kept_terms(original: str, rewrite: str) -> float:
    """Share of the original's content words that the rewrite still has; 1 where it has none."""
    wanted = content_words(original)
    return len(wanted & set(_bare(words(rewrite)))) / len(wanted) if wanted else 1.0


def _not_empty(rewrite: str) -> Check:
    found = len(words(rewrite))
    return Check(name="not_empty", passed=found > 0, detail=f"{found} words")


def _not_original(strategy: Strategy, original: str, rewrite: str, fused: str) -> Check:
    before, after = words(original), words(rewrite)
    problem = ""
    if set(after) == set(before):  # said twice, or in another order, it asks for nothing more
        problem = "the words are the original's"
    elif strategy == "paraphrase" and _stands_in(before, after):
        problem = "the original stands in it word for word"
    elif fused and after == words(fused):
        problem = "the words are the fused rewrite's"
    detail = problem or "the words differ from the original's"
    return Check(name="not_original", passed=not problem, detail=detail)


def _stands_in(run: list[str], found: list[str]) -> bool:
    """Whether a run of words, unless it is a short one, stands in others."""
    if len(run) < VERBATIM_WORDS or len("".join(run)) < VERBATIM_LETTERS:
        return False
    return any(found[i : i + len(run)] == run for i in range(len(found) - len(run) + 1))


def _not_held_out(rewrite: str, held_out: HeldOut) -> Check:
    passed = not held_out.has(rewrite)
    detail = "no prompt of evaluation" if passed else "nearly the words of a held-out prompt"
    return Check(name="not_held_out", passed=passed, detail=detail)


def _not_answer(original: str, rewrite: str) -> Check:
    opener = answering(rewrite)
    if opener is not None and answering(original) is None:
        return Check(name="not_answer", passed=False, detail=f"opens like an answer: {opener!r}")
    if asks(original) and not asks(rewrite):
        return Check(name="not_answer", passed=False, detail="the original asks, this does not")
    return Check(name="not_answer", passed=True, detail="no sign of an answer")


def _length_ratio(strategy: Strategy, original: str, rewrite: str, limits: Limits) -> Check:
    before = max(1, len(words(original)))
    ratio = len(words(rewrite)) / before
    low, high = limits.length_at_least, limits.length_at_most
    if strategy == "paraphrase":  # which is to hold length as it is
        high = min(high, max(PARAPHRASED_AT_MOST, 1 + PARAPHRASED_WORDS / before))
    return Check(
        name="length_ratio",
        passed=low <= ratio <= high,
        detail=f"{ratio:.2f} times the original's words; allowed {low:g} to {high:g}",
    )


def _same_language(original: str, rewrite: str) -> Check:
    before, after = script(original), script(rewrite)
    if before == after == "LATIN":
        before, after = language(original), language(rewrite)
    passed = before is None or after is None or before == after
    detail = f"original {before or 'not clear'}, rewrite {after or 'not clear'}"
    return Check(name="same_language", passed=passed, detail=detail)


def _key_terms(original: str, rewrite: str, keep_at_least: float) -> Check:
    share = kept_terms(original, rewrite)
    lost = sorted(content_words(original) - set(_bare(words(rewrite))))
    detail = f"{share:.2f} of the original's key terms kept; at least {keep_at_least:g} needed"
    if lost:
        detail += f"; lost: {', '.join(lost[:10])}"
    return Check(name="key_terms", passed=share >= keep_at_least, detail=detail)


def _no_leak(original: str, rewrite: str, private_texts: Sequence[str]) -> Check:
    known = original.casefold()
    marks = (found.group() for found in _TEMPLATE.finditer(rewrite))
    if marker := next((mark for mark in marks if mark.casefold() not in known), None):
        return Check(name="no_leak", passed=False, detail=f"template text {marker!r}")
    own = set(_runs(words(original)))
    shown = set(_runs(words(rewrite))) - own
    for text in private_texts:
        leaked = next((run for run in _runs(words(text)) if run in shown), None)
        if leaked:
            detail = f"rubric or template text: {' '.join(leaked)!r}"
            return Check(name="no_leak", passed=False, detail=detail)
    return Check(name="no_leak", passed=True, detail="no rubric or template text")


def _no_added_harm(harm: Harm, rise_at_most: float) -> Check:
    if harm.change is None:
        detail = "the harm of the prompts could not be scored"
        return Check(name="no_added_harm", passed=False, detail=detail)
    return Check(
        name="no_added_harm",
        passed=harm.change <= rise_at_most + 1e-12,
        detail=f"prompt harm {harm.original:.3f} to {harm.rewrite:.3f}, change {harm.change:+.3f}",
    )


def _token_length(tokens: TokenLengths | None) -> Check:
    if tokens is None:
        raise ValueError("The strategy 'elaborate' needs the token lengths of both rewrites.")
    if tokens.fused is None:
        detail = "there is no fused rewrite to match the length of"
        return Check(name="token_length", passed=False, detail=detail)
    near = abs(tokens.elaborated - tokens.fused) <= TOKEN_LENGTH_WITHIN * tokens.fused
    detail = f"{tokens.elaborated} tokens; the fused rewrite has {tokens.fused}"
    return Check(name="token_length", passed=near, detail=detail)


def _runs(found: list[str]) -> list[tuple[str, ...]]:
    """Runs of LEAK_WORDS words in order."""
    return [tuple(found[i : i + LEAK_WORDS]) for i in range(len(found) - LEAK_WORDS + 1)]


def _bare(found: Iterable[str]) -> list[str]:
    return [w.removesuffix("'s") for w in found]


def _text(value: str) -> Parsed:
    text = value.strip()
    if not text:
        return _no("the rewrite is empty")
    # Neither can be stored as text.
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        return _no("the rewrite holds a NUL or half a surrogate pair")
    return Parsed(text=text, reason=None)


def _no(reason: str) -> Parsed:
    return Parsed(text=None, reason=reason)
