"""Comma-separated values (RFC 4180) row by row, with the physical line where each row starts.

The csv module is not used: it has one field limit for the whole process, and after a broken row it
may take the inside of a quoted field for rows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from alignment.importing.lines import TOO_LONG, decoded, physical_lines
from alignment.importing.rows import MOST_ROW, Problem, Row, Table, Unreadable

# The inside of a quoted field: up to its closing quote, or to the end of what was read.
_INSIDE = re.compile(r'[^"]*+(?:""[^"]*+)*+')


@dataclass(frozen=True, kw_only=True, slots=True)
class _Record:
    """A row's raw text from its first line on, without its last line end; why it is bad."""

    line: int
    text: str
    reason: str = ""


def read(file: BinaryIO) -> Table:
    """A table of a file opened after its byte-order mark, if any; the first row names the columns.

    Raises Unreadable where that row does not.
    """
    records = _records(physical_lines(file))
    header = next(records, None)
    if header is None:
        raise Unreadable("the file is empty")
    if "\r" in header.text and '"' not in header.text:
        raise Unreadable("its lines end in a carriage return alone; save it with LF or CRLF")
    columns = _fields(header.text) if not header.reason else header.reason
    if isinstance(columns, str):
        raise Unreadable(f"line {header.line}, which names the columns: {columns}")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise Unreadable(f"two columns have the same name: {', '.join(map(repr, twice))}")
    return Table(columns=tuple(columns), rows=_rows(columns, records))


def _rows(columns: list[str], records: Iterator[_Record]) -> Iterator[Row | Problem]:
    for record in records:
        fields = record.reason or _fields(record.text)
        if isinstance(fields, str):
            yield Problem(line=record.line, reason=fields)
        elif len(fields) != len(columns):
            told = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
            counts = f"{told} where the header names {len(columns)}"
            yield Problem(line=record.line, reason=f"broken line: {counts}")
        else:
            yield Row(line=record.line, values=dict(zip(columns, fields, strict=True)))


def _records(lines: Iterator[tuple[int, bytes | None]]) -> Iterator[_Record]:
    """Lines joined where a quoted field goes on; blank lines between rows are passed over.

    Nothing tells where the next row starts after one that is too long, so there it ends.
    """
    parts: list[str] = []
    start, size, is_open, flaw = 0, 0, False, ""
    for number, line in lines:
        start = start if parts else number
        size += len(line or b"")
        if line is None or size > MOST_ROW:
            reason = f"the row {TOO_LONG}; is a quote left open? The file was read no further"
            yield _Record(line=start, text="", reason=reason)
            return
        text, bad = decoded(number, line)
        flaw = flaw or bad
        parts.append(text)
        is_open = _leaves_open(text, is_open)
        if not is_open:
            if whole := "".join(parts).removesuffix("\n").removesuffix("\r"):
                yield _Record(line=start, text=whole, reason=flaw)
            parts, size, flaw = [], 0, ""
    if parts:
        reason = "broken line: a quote is opened and never closed"
        if len(parts) > 2:
            reason += f", so lines {start + 1} to {start + len(parts) - 1} could not be read"
        elif len(parts) == 2:
            reason += f", so line {start + 1} could not be read"
        yield _Record(line=start, text="", reason=reason)


def _leaves_open(text: str, is_open: bool) -> bool:
    """Whether a quoted field goes on after this line, given whether one did before it."""
    if '"' not in text:
        return is_open
    at = 0
    while True:
        if is_open or text.startswith('"', at):
            at = _end_of_inside(text, at if is_open else at + 1)
            if at == len(text):
                return True
            is_open = False
        at = text.find(",", at) + 1
        if not at:
            return False


def _fields(text: str) -> list[str] | str:
    """The fields of a whole row, or why it is broken."""
    if '"' not in text:
        return text.split(",")
    fields: list[str] = []
    at = 0
    while True:
        if text.startswith('"', at):
            end = _end_of_inside(text, at + 1)
            fields.append(text[at + 1 : end].replace('""', '"'))
            at = end + 1
            if at < len(text) and text[at] != ",":
                return f"broken line: text after the closing quote of field {len(fields)}"
        else:
            comma = text.find(",", at)
            end = len(text) if comma < 0 else comma
            fields.append(text[at:end])
            at = end
        if at >= len(text):
            return fields
        at += 1


def _end_of_inside(text: str, start: int) -> int:
    found = _INSIDE.match(text, start)
    assert found is not None, "the pattern matches the empty string"
    return found.end()
