"""What a reader gives: rows with the line they start on, and what is wrong with a row.

The checks are those that hold for every format: text that PostgreSQL cannot store, or that nobody
can have meant. What a row must hold for an import is checked by `services.imports`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from alignment.method.errors import MoraError

MOST_FIELD = 1024 * 1024
MOST_ROW = 16 * MOST_FIELD


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row's values by column; `line` is where it starts, from 1 (in Parquet: its number)."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Why a row cannot be imported; `line` as for Row."""

    line: int
    reason: str


class Unreadable(MoraError):
    """The file is not what its name says, or breaks off where no row can be told from the next."""


@dataclass(kw_only=True)
class Table:
    """A file while it is read: its columns, its rows in order, what a line is called, and what
    was noticed that harms no row."""

    columns: tuple[str, ...]
    rows: Iterator[Row | Problem]
    unit: str = "line"
    notes: list[str] = field(default_factory=list)


def checked(rows: Iterator[Row | Problem]) -> Iterator[Row | Problem]:
    """The same rows, a flawed one as its problem."""
    for row in rows:
        reason = flaw(row.values) if isinstance(row, Row) else None
        yield Problem(line=row.line, reason=reason) if reason else row


def flaw(values: dict[str, Any]) -> str | None:
    """What is wrong with a row's values or the names of its columns, if anything."""
    for column, value in values.items():
        for leaf in (column, *_leaves(value)):
            if reason := _flaw(leaf):
                return f"{column!r} {reason}"
    return None


def _flaw(value: object) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else "holds a number that is not finite"
    if not isinstance(value, str):
        return None
    if "\x00" in value:
        return "holds a NUL character, which cannot be stored"
    if "\ufeff" in value:
        return "holds a byte-order mark; were files joined?"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no text"
    return f"is over 1 MiB long ({size:,} bytes)" if size > MOST_FIELD else None


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value
