"""JSON Lines: one object a line. Blank lines are passed over."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from alignment.importing.lines import TOO_LONG, decoded, physical_lines
from alignment.importing.rows import Problem, Row


def read(file: BinaryIO) -> Iterator[Row | Problem]:
    """The rows of a file opened after its byte-order mark, if any."""
    for number, line in physical_lines(file):
        if line is None:
            yield Problem(line=number, reason=f"the line {TOO_LONG}")
        elif line.strip():
            text, bad = decoded(number, line)
            yield Problem(line=number, reason=bad) if bad else row_of(number, text)


def row_of(line: int, text: str) -> Row | Problem:
    """One JSON object as a row."""
    try:
        value: Any = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:  # ValueError also for a number of 4,300 digits
        return Problem(line=line, reason=f"broken JSON: {_cause(error)}")
    if not isinstance(value, dict):
        return Problem(line=line, reason=f"not an object but {_kind(value)}")
    return Row(line=line, values=value)


def _cause(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1} of the row"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
