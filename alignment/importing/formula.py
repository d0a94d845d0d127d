"""How an imported score is read from a row: `DIM=COLUMN[:VALUE=NUMBER,...] [where COLUMN=PATTERN]`.

Without values the column holds the number itself. `*` is any other value, and stands for any text
in a pattern; `!=` turns a condition round. Where the condition does not hold, the rollout was not
judged on the dimension, so it has no score there.
"""

import math
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from alignment.method.errors import MoraError

_SHAPE = re.compile(
    r"\s*(?P<dimension>[^=]+?)\s*=\s*(?P<column>[^:]+?)\s*(?::(?P<values>.+?))?"
    r"(?:\s+where\s+(?P<subject>.+?)\s*(?P<test>!?=)\s*(?P<pattern>.*?))?\s*",
    re.DOTALL,
)


class NoScore(Exception):
    """A cell from which no score can be read, so the row is bad; its message says why."""


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A dimension's score from a row. `values` None: the column is the number; `subject` None:
    every row is judged."""

    dimension: str
    column: str
    values: tuple[tuple[str, float], ...] | None = None
    subject: str | None = None
    pattern: str = ""
    negated: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if self.subject is None else (self.column, self.subject)

    @property
    def text(self) -> str:
        """The formula in its one spelling, without the dimension."""
        values = ",".join(f"{name}={number:g}" for name, number in self.values or ())
        test = "!=" if self.negated else "="
        where = f" where {self.subject}{test}{self.pattern}" if self.subject is not None else ""
        return f"{self.column}{':' if values else ''}{values}{where}"

    def applies(self, row: dict[str, Any]) -> bool:
        """Whether the row's rollout was judged on the dimension."""
        if self.subject is None:
            return True
        return fnmatchcase(cell(row.get(self.subject)), self.pattern) != self.negated

    def score(self, row: dict[str, Any]) -> float | None:
        """The raw score, None for an empty cell; raises NoScore for any other without one."""
        text = cell(row.get(self.column)).strip()
        if not text:
            return None
        return _number(self.column, text) if self.values is None else self._mapped(text)

    def _mapped(self, text: str) -> float:
        known = dict(self.values or ())
        number = known.get(text, known.get("*"))
        if number is None:
            raise NoScore(f"{self.column!r} is {text[:80]!r}, which {self.text!r} gives no number")
        return number


def parse(text: str) -> Formula:
    """The formula in a text; raises MoraError where it is none."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise MoraError(
            f"{text!r} is no score; write DIMENSION=COLUMN, or map the column's values, as in"
            " helpful=final_label:1_full_compliance=1,*=0 where label=safe"
        )
    values = found["values"]
    return Formula(
        dimension=found["dimension"],
        column=found["column"],
        values=tuple(_pair(text, pair) for pair in values.split(",")) if values else None,
        subject=found["subject"],
        pattern=found["pattern"] or "",
        negated=found["test"] == "!=",
    )


def _pair(text: str, pair: str) -> tuple[str, float]:
    name, equals, number = pair.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not equals or not name.strip() or not math.isfinite(value):
        raise MoraError(f"{pair!r} in {text!r} is not VALUE=NUMBER")
    return name.strip(), value


def _number(column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NoScore(f"{column!r} is {text[:80]!r}, not a number; map its values: {column}:...=1")
    return value


def cell(value: Any) -> str:
    """A cell as text: true and false as JSON has them, nothing for none."""
    if value is None or isinstance(value, str):
        return value or ""
    return str(value).lower() if isinstance(value, bool) else str(value)
