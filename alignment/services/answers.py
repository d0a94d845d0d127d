"""What a person says of a rewrite, before it is recorded: checked, and made sound."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from alignment.importing.rows import flaw
from alignment.method.edits import word_distance
from alignment.method.errors import MoraError
from alignment.models import Review, ReviewItem
from alignment.queries.held_out import held_out

D = Review.Decision
MOST_TEXT, MOST_WORDS = 20_000, 2_000
RATINGS: dict[str, str] = dict(Review.Question.choices)
RATED = range(1, 6)
HIDDEN = ("Cc", "Cf")
# Letters and signs that show as nothing: fillers, the blank Braille pattern, variation selectors.
BLANK = re.compile("[\u115f\u1160\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Control characters other than tab and line ends, and what reorders the text around it.
UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A decision on a rewrite. text: the edited rewrite; reason: of Review.Reason; words: what
    the person wrote about it; ratings: 1 to 5 by the names of RATINGS, each optional.

    A form ends its lines with CR LF, whatever the text had: they are LF here.
    """

    decision: str
    text: str = ""
    reason: str = ""
    words: str = ""
    ratings: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("text", "words"):
            lines = getattr(self, name).replace("\r\n", "\n").replace("\r", "\n")
            object.__setattr__(self, name, lines)


class BadAnswer(MoraError):
    """An answer that cannot be recorded as it is; its message says what to change."""


def checked(answer: Answer, item: ReviewItem) -> Answer:
    """The answer as it is recorded; raises BadAnswer.

    An edit that leaves the suggestion as it was is an approval. One that brings the original back
    is refused, for a rejection needs a reason, which only the person can give.
    """
    if answer.decision not in D.values:
        known = ", ".join(D.values)
        raise BadAnswer(f"no decision {answer.decision[:20]!r}; use one of {known}")
    storable(answer)
    answer = replace(answer, text=answer.text.strip(), words=answer.words.strip())
    if answer.decision == D.EDIT:
        answer = _checked_edit(answer, item)
    if answer.decision == D.REJECT:
        answer = replace(answer, reason=checked_reason(answer.reason))
    if answer.decision == D.FLAG and not answer.words:
        raise BadAnswer("say in a few words what the adjudicator should look at")
    return replace(
        answer,
        text=answer.text if answer.decision == D.EDIT else "",
        reason=answer.reason if answer.decision == D.REJECT else "",
        ratings=_checked_ratings(answer, item),
    )


def checked_reason(given: str) -> str:
    """The reason of a rejection, given by its name or its label; raises BadAnswer for none."""
    name = given.strip().lower().replace(" ", "_")
    if name not in Review.Reason.values:
        raise BadAnswer(f"a rejection needs a reason: one of {', '.join(Review.Reason.labels)}")
    return name


def columns(answer: Answer, item: ReviewItem) -> dict[str, Any]:
    """What a Review records of a checked answer on an item."""
    edited = answer.decision == D.EDIT
    return {
        "decision": answer.decision,
        "edited_text": answer.text,
        "distance": word_distance(item.prompt.text, answer.text) if edited else None,
        "reason": answer.reason,
        "words": answer.words,
        "ratings": dict(answer.ratings),
    }


def storable(answer: Answer) -> None:
    """Raises BadAnswer for text that cannot be stored or is too long."""
    for what, text, most in (
        ("rewrite", answer.text, MOST_TEXT),
        ("note", answer.words, MOST_WORDS),
    ):
        if reason := flaw({what: text}):
            raise BadAnswer(f"the {what} {reason.partition(' ')[2]}; remove it")
        if len(text) > most:
            raise BadAnswer(f"the {what} has {len(text):,} characters; at most {most:,} are kept")


def _checked_edit(answer: Answer, item: ReviewItem) -> Answer:
    parent = item.prompt.parent
    if not _seen(answer.text):
        raise BadAnswer("the edited rewrite is empty; write it, or reject the rewrite")
    if answer.text == item.prompt.text.strip():
        return replace(answer, decision=D.APPROVE)
    if parent is not None and _seen(answer.text) == _seen(parent.text):
        raise BadAnswer("the edit is the original again; reject the rewrite, and say why")
    if held_out(item.stage.run).has(answer.text):
        raise BadAnswer(
            "the edit is nearly a prompt that is held out for evaluation, which may not be"
            " trained on; word it otherwise, or reject the rewrite"
        )
    if found := UNFIT.search(answer.text):
        name = unicodedata.name(found[0], "a control character")
        raise BadAnswer(
            f"the edited rewrite has U+{ord(found[0]):04X} ({name}) in it, which does not show;"
            " remove it"
        )
    return answer


def _seen(text: str) -> list[str]:
    """A text's words as a reader sees them: without invisible characters, whatever the case."""
    shown = (c for c in BLANK.sub("", text) if c.isspace() or unicodedata.category(c) not in HIDDEN)
    return "".join(shown).casefold().split()


def _checked_ratings(answer: Answer, item: ReviewItem) -> dict[str, int]:
    if answer.decision in (D.SKIP, D.FLAG) or not answer.ratings:
        return {}
    if not item.stage.config["review"].get("ratings", True):
        raise BadAnswer("this run asks for no ratings")
    for name, value in answer.ratings.items():
        if name not in RATINGS:
            raise BadAnswer(f"no rating {name[:40]!r}; there is {', '.join(RATINGS)}")
        if not isinstance(value, int) or isinstance(value, bool) or value not in RATED:
            raise BadAnswer(f"the rating {RATINGS[name]!r} is a whole number from 1 to 5")
    return dict(answer.ratings)
