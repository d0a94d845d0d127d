"""Parquet, a few hundred rows at a time; a row's line is its number, from 1.

Memory holds at most one row group, as the file's writer cut it.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alignment.importing.rows import Problem, Row, Table, Unreadable

_BATCH = 256
_BUFFER = 1024 * 1024  # bytes read ahead per column


def read(path: Path) -> Table:
    """A table of the file; raises Unreadable where it is not Parquet, or breaks off."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path, buffer_size=_BUFFER)
    except pyarrow.ArrowException as error:
        raise Unreadable(f"not a Parquet file: {error}") from error
    return Table(columns=tuple(file.schema_arrow.names), rows=_rows(file), unit="row")


def _rows(file: Any) -> Iterator[Row | Problem]:
    import pyarrow

    number = 0
    with file:
        batches = file.iter_batches(batch_size=_BATCH)
        while True:
            try:
                batch = next(batches, None)
            except (pyarrow.ArrowException, OSError) as error:
                raise Unreadable(f"the Parquet file breaks after row {number}: {error}") from error
            if batch is None:
                return
            for found in _values(batch):
                number += 1
                yield _row(number, found)


def _values(batch: Any) -> list[dict[str, Any] | str]:
    """A batch's rows; one with text that is not UTF-8 as the reason."""
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [f"bad UTF-8: byte 0x{error.object[error.start]:02x}"]
        return [row for i in range(batch.num_rows) for row in _values(batch.slice(i, 1))]


def _row(number: int, found: dict[str, Any] | str) -> Row | Problem:
    if isinstance(found, str):
        return Problem(line=number, reason=found)
    return Row(line=number, values={name: _plain(value) for name, value in found.items()})


def _plain(value: Any) -> Any:
    """A value as JSON could hold it; what JSON does not know (dates, bytes) as text."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
