"""Whatever a writer of the format wrote comes back, with the line where it starts."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tests.imports.conftest import read

COLUMNS = ["id", "prompt", "note, with a comma"]
# Without what no import takes: half surrogates, NUL and byte-order marks.
texts = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"),
        st.sampled_from('",\n\r\\{}[]: '),
    ),
    max_size=30,
)
tables = st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=8)


# With "\n" as the line end, csv does not quote a field for its "\r" (Python 3.11).
dialects = st.sampled_from(
    [("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]
)


@settings(deadline=None)  # it writes files
@given(tables, dialects)
def test_csv(tmp_path_factory: Any, rows: list[list[str]], dialect: tuple[str, Any]) -> None:
    end, quoting = dialect
    whole = io.StringIO(newline="")
    writer = csv.writer(whole, lineterminator=end, quoting=quoting)
    writer.writerow(COLUMNS)
    starts = []
    for row in rows:
        starts.append(whole.getvalue().count("\n") + 1)
        writer.writerow(row)
    good, bad = read(written(tmp_path_factory, "a.csv", whole.getvalue()))
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    assert good == list(zip(starts, records, strict=True))
    assert bad == []


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.lists(st.dictionaries(texts, values, max_size=4), min_size=1, max_size=6)


@settings(deadline=None)  # it writes files
@given(objects, st.booleans())
def test_jsonl(tmp_path_factory: Any, rows: list[dict[str, object]], ascii_only: bool) -> None:
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    good, bad = read(written(tmp_path_factory, "a.jsonl", "\n\n".join(lines)))
    assert good == [(1 + 2 * i, row) for i, row in enumerate(rows)]
    assert bad == []


@settings(deadline=None)  # it writes files
@given(objects, st.sampled_from([None, 0, 2]))
def test_json(tmp_path_factory: Any, rows: list[dict[str, object]], indent: int | None) -> None:
    good, bad = read(written(tmp_path_factory, "a.json", json.dumps(rows, indent=indent)))
    assert [values for _, values in good] == rows
    assert bad == []
    line, starts = 2 if indent is not None else 1, []
    for row in rows:
        starts.append(line)
        line += json.dumps(row, indent=indent).count("\n") + (indent is not None)
    assert [line for line, _ in good] == starts


@settings(deadline=None)  # it writes files
@given(tables, st.integers(1, 5))
def test_parquet(tmp_path_factory: Any, rows: list[list[str]], group: int) -> None:
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(records), path, row_group_size=group)
    good, bad = read(path)
    assert good == list(enumerate(records, 1))
    assert bad == []


def written(factory: Any, name: str, text: str) -> Path:
    path: Path = factory.mktemp("file") / name
    path.write_bytes(text.encode())
    return path
