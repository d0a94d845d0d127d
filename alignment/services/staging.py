"""Rows on their way in: a temporary table that they are copied into and checked in.

It knows how rows repeat each other; what a row must hold and where it goes is the import's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.db.backends.utils import CursorWrapper

from alignment.importing.formula import cell
from alignment.importing.rows import Problem, Row

MOST_SHOWN = 50
KNOWN = "EXISTS (SELECT 1 FROM alignment_rollout r WHERE r.id = s.rollout_id)"  # a staged row s
_COLUMNS = {
    "line": "bigint",
    "twin": "text",  # equal for rows that repeat each other
    "key": "text",
    "text": "text",
    "external_id": "text",
    "kind": "text",
    "meta": "jsonb",
    "completion": "text",
    "refused": "boolean",
    "raw": "float8[]",  # per judge: NULL not judged, NaN no valid score
    "reward": "float8[]",
    "reply": "text[]",
}


class BadRow(Exception):
    """A row that cannot be imported; its message says why."""


class Problems:
    """What is wrong with a file's rows: the first MOST_SHOWN by line, and how many in all."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.total = 0
        self.first: list[Problem] = []

    def add(self, problems: Iterable[Problem], more: int = 0) -> None:
        """Take problems in, and count `more` that are not told."""
        found = list(problems)
        self.total += len(found) + more
        self.first = sorted([*self.first, *found], key=lambda p: p.line)[:MOST_SHOWN]

    def lines(self) -> Iterator[str]:
        """A line for each problem that is shown, and one for the rest."""
        for problem in self.first:
            yield f"{self.unit} {problem.line}: {problem.reason}"
        if self.total > len(self.first):
            yield f"and {self.total - len(self.first):,} more bad rows"


def create(cursor: CursorWrapper, columns: Sequence[str]) -> None:
    """Make the temporary table; it ends with the transaction.

    `number` is a row's place in the file, `rollout_id` the id that its rollout will have.
    """
    typed = ", ".join(f"{name} {_COLUMNS[name]}" for name in columns)
    cursor.execute("DROP TABLE IF EXISTS staged")
    cursor.execute(
        f"CREATE TEMPORARY TABLE staged (number bigint, {typed}, rollout_id bigint DEFAULT"
        " nextval(pg_get_serial_sequence('alignment_rollout', 'id'))) ON COMMIT DROP"
    )


def fill(cursor: CursorWrapper, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Copy rows in, numbered in their order; how many."""
    count = 0
    with cursor.copy(f"COPY staged (number, {', '.join(columns)}) FROM STDIN") as copy:
        for count, row in enumerate(rows, 1):
            copy.write_row((count, *row))
    cursor.execute("ANALYZE staged")
    return count


def drop_repeats(cursor: CursorWrapper, problems: Problems) -> None:
    """Leave out rows that repeat an earlier one of the file."""
    cursor.execute(
        "WITH found AS (SELECT number, first_value(number) OVER same AS first,"
        " first_value(line) OVER same AS first_line"
        " FROM staged WINDOW same AS (PARTITION BY twin ORDER BY number)),"
        " gone AS (DELETE FROM staged s USING found f WHERE s.number = f.number"
        " AND f.first < f.number RETURNING s.line, f.first_line)"
        " SELECT line, first_line, count(*) OVER () FROM gone ORDER BY line LIMIT %s",
        [MOST_SHOWN],
    )
    _tell(cursor, problems, f"repeats {problems.unit}")


def drop_known(cursor: CursorWrapper, problems: Problems, known: str, values: list[Any]) -> None:
    """Leave out rows that the record holds already: `known` are the FROM items and condition that
    join it to `s`, the staged row."""
    cursor.execute(
        f"WITH gone AS (DELETE FROM staged s USING {known} RETURNING s.line)"
        " SELECT line, NULL, count(*) OVER () FROM gone ORDER BY line LIMIT %s",
        [*values, MOST_SHOWN],
    )
    _tell(cursor, problems, "is in the set already")


def drop_where(
    cursor: CursorWrapper, problems: Problems, condition: str, values: list[Any], reason: str
) -> None:
    """Leave out the staged rows `s` of which a condition holds, for a reason."""
    cursor.execute(
        f"WITH gone AS (DELETE FROM staged s WHERE {condition} RETURNING s.line)"
        " SELECT line, NULL, count(*) OVER () FROM gone ORDER BY line LIMIT %s",
        [*values, MOST_SHOWN],
    )
    _tell(cursor, problems, reason)


def _tell(cursor: CursorWrapper, problems: Problems, reason: str) -> None:
    found = cursor.fetchall()
    told = (
        Problem(line=line, reason=reason if first is None else f"{reason} {first}")
        for line, first, _ in found
    )
    problems.add(told, more=found[0][2] - len(found) if found else 0)


def good_rows(rows: Iterable[Row | Problem], problems: Problems) -> Iterator[Row]:
    """The rows without a problem; the problems are collected on the way."""
    for row in rows:
        if isinstance(row, Row):
            yield row
        else:
            problems.add([row])


def built(
    rows: Iterable[Row], build: Callable[[Row], tuple[Any, ...]], problems: Problems
) -> Iterator[tuple[Any, ...]]:
    """What each row is staged as; one from which nothing can be built is a problem."""
    for row in rows:
        try:
            yield build(row)
        except BadRow as error:
            problems.add([Problem(line=row.line, reason=str(error))])


def text_in(row: Row, column: str, role: str) -> str:
    """The row's text in a column; raises BadRow where there is none."""
    if column not in row.values:
        raise BadRow(f"no {column!r} in this row")
    value = row.values[column]
    if value is not None and not isinstance(value, str):
        raise BadRow(f"{column!r} is not text")
    if not value or not value.strip():
        raise BadRow(f"the {role} is empty")
    return value


def label_in(row: Row, column: str | None, most: int) -> str:
    """A short label from a column, empty without one; raises BadRow for one that is too long."""
    text = cell(row.values.get(column)) if column else ""
    if len(text) > most:
        raise BadRow(f"{column!r} is over {most} characters long")
    return text
