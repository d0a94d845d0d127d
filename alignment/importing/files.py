"""Open a file of any known format as a table of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path

from alignment.importing import json_array, json_lines, lines, parquet, separated
from alignment.importing.rows import Problem, Row, Table, Unreadable, checked

FORMATS = {
    ".csv": "CSV",
    ".json": "JSON",
    ".jsonl": "JSONL",
    ".ndjson": "JSONL",
    ".parquet": "Parquet",
}
LOOKED_AT = 100  # rows of JSON, for their keys


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """The table in a file, while it is open; its format goes by the end of its name.

    Raises Unreadable, in one sentence that names the file, where it cannot be read.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(FORMATS)
        raise Unreadable(f"{path}: unknown format {path.suffix!r}; the name must end in {known}")
    try:
        with path.open("rb") as file:
            yield _table(kind, path, file)
    except Unreadable as error:
        raise Unreadable(f"{path}: {error}") from error
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from error


def _table(kind: str, path: Path, file: BufferedReader) -> Table:
    if kind == "Parquet":
        table = parquet.read(path)
    else:
        had_mark = lines.skip_mark(file)
        table = separated.read(file) if kind == "CSV" else _of_objects(kind, file)
        if had_mark:
            table.notes.append("line 1: a byte-order mark at the start of the file was dropped")
    table.rows = checked(table.rows)
    return table


def _of_objects(kind: str, file: BufferedReader) -> Table:
    """A table whose columns are the keys of its first rows: one row need not have all of them."""
    rows = json_array.read(file) if kind == "JSON" else json_lines.read(file)
    first = list(islice(rows, LOOKED_AT))
    whole = [row for row in first if isinstance(row, Row)]
    if whole:
        columns = dict.fromkeys(name for row in whole for name in row.values)
        return Table(columns=tuple(columns), rows=chain(first, rows))
    if first and isinstance(bad := first[0], Problem):
        raise Unreadable(f"no row can be read; line {bad.line}: {bad.reason}")
    raise Unreadable("the file has no rows")
