"""The `rules` judges: Python callables that score a completion, and regular expressions of a
project's people, which run with a time limit.

A rule takes prompt and completion and gives (raw score or None, reason), or the score alone. The
operator adds rules by MORA_RULES ("name=module:function,..."); users cannot.
"""

import importlib
import math
import os
from collections.abc import Callable
from numbers import Real
from platform import python_version
from typing import Any

import regex

from alignment.method.errors import MoraError
from alignment.method.rules import known_rules
from workers.engines.engine import Engine, Spec

MATCH_SECONDS = 0.5
Rule = Callable[[str, str], tuple[float | None, str] | float | None]


def load(spec: Spec) -> Engine:
    """The rules are looked up at each call, so loading cannot fail on one that is not used."""
    return Engine(
        version=f"rules on Python {python_version()}",
        calls={
            "judge": lambda args, progress: judge(**args),
            "match": lambda args, progress: match(**args),
        },
    )


def judge(rule: str, prompts: list[str], completions: list[str]) -> list[dict[str, Any]]:
    """Per item raw (null: no score), reply and reason. Raises MoraError on an unknown rule."""
    function = find(rule)
    return [_score(function, *item) for item in zip(prompts, completions, strict=True)]


def match(
    pattern: str, ignore_case: bool, found: float, absent: float, completions: list[str]
) -> list[dict[str, Any]]:
    """Per completion the score for whether the pattern is in it; none where that takes too long."""
    try:
        compiled = regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
    except regex.error as error:
        raise MoraError(f"The pattern {pattern!r} is no regular expression: {error}.") from error

    def rule(_: str, completion: str) -> tuple[float | None, str]:
        try:
            hit = compiled.search(completion, timeout=MATCH_SECONDS)
        except TimeoutError:
            return None, f"the pattern took over {MATCH_SECONDS:g} s"
        return (found, f"found {hit[0][:80]!r}") if hit else (absent, "not found")

    return [_score(rule, "", completion) for completion in completions]


def find(name: str) -> Rule:
    """The callable of a rule, from the table or the operator's list."""
    known = known_rules(os.environ.get("MORA_RULES", ""))
    if name not in known:
        raise MoraError(
            f"There is no rule {name!r}; add it to MORA_RULES or use one of: "
            f"{', '.join(sorted(known))}."
        )
    module, _, function = known[name].partition(":")
    try:
        rule: Rule = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"The rule {name!r} cannot be loaded from {known[name]!r}: {error}."
        raise MoraError(message) from error
    return rule


def _score(rule: Rule, prompt: str, completion: str) -> dict[str, Any]:
    """A bad item is data: a rule that fails on it gives no score and says why."""
    try:
        found = rule(prompt, completion)
    except Exception as error:
        found = None, f"the rule failed: {type(error).__name__}: {error}"
    raw, reason = found if isinstance(found, tuple) and len(found) == 2 else (found, "")
    if raw is not None and not (isinstance(raw, Real) and math.isfinite(raw)):
        raw, reason = None, f"the rule gave {raw!r:.200}, which is neither a number nor None"
    raw, reason = None if raw is None else float(raw), str(reason or "")
    return {"raw": raw, "reply": "" if raw is None else f"{raw:g}", "reason": reason}
