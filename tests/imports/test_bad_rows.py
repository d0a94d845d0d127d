"""Each kind of bad row is told with its line and reason, and costs no other row."""

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from alignment.importing.files import open_table
from alignment.importing.rows import MOST_FIELD, MOST_ROW, Problem, Row, Unreadable
from tests.imports.conftest import WriteFile, read, rows_of


def test_a_mark_at_the_start_is_dropped(write_file: WriteFile) -> None:
    for name, content in [
        ("a.csv", "\ufeffprompt\nx\n"),
        ("a.jsonl", '\ufeff{"prompt": "x"}'),
        ("a.json", '\ufeff[{"prompt": "x"}]'),
    ]:
        good, bad = read(write_file(name, content))
        assert [values for _, values in good] == [{"prompt": "x"}]
        assert bad == []


def test_a_mark_elsewhere_is_a_problem(write_file: WriteFile) -> None:
    good, bad = read(write_file("a.csv", "prompt\nx\n\ufeffprompt\ny\n"))
    assert [line for line, _ in good] == [2, 4]
    assert bad == [(3, "'prompt' holds a byte-order mark; were files joined?")]


def test_lines_are_counted_through_quoted_line_breaks(write_file: WriteFile) -> None:
    content = 'id,prompt\r\n1,"one\r\ntwo\n\nfour"\r\n\r\n2,"say ""so"",\nthen"\r\n3,last'
    good, bad = read(write_file("a.csv", content))
    assert good == [
        (2, {"id": "1", "prompt": "one\r\ntwo\n\nfour"}),
        (7, {"id": "2", "prompt": 'say "so",\nthen'}),
        (9, {"id": "3", "prompt": "last"}),
    ]
    assert bad == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1", "broken line: 1 field where the header names 2"),
        ("1,2,3", "broken line: 3 fields where the header names 2"),
        ('1,"a" b', "broken line: text after the closing quote of field 2"),
        ("1,a\0b", "'prompt' holds a NUL character, which cannot be stored"),
        ("1," + "x" * (MOST_FIELD + 1), "'prompt' is over 1 MiB long (1,048,577 bytes)"),
    ],
)
def test_a_broken_line_of_csv_costs_itself_only(
    write_file: WriteFile, line: str, reason: str
) -> None:
    good, bad = read(write_file("a.csv", f"id,prompt\n0,a\n{line}\n2,b\n"))
    assert [line for line, _ in good] == [2, 4]
    assert bad == [(3, reason)]


def test_bad_utf8_is_told_by_byte_and_line(write_file: WriteFile) -> None:
    good, bad = read(write_file("a.csv", b'prompt\na\n"b\nc\xff"\nd\n'))
    assert [line for line, _ in good] == [2, 5]
    assert bad == [(3, "bad UTF-8: byte 0xff at byte 2 of line 4")]
    good, bad = read(write_file("a.jsonl", b'{"prompt": "a"}\n{"prompt": "\xe9"}\n'))
    assert bad == [(2, "bad UTF-8: byte 0xe9 at byte 13 of line 2")]
    good, bad = read(write_file("a.json", b'[{"prompt": "a"},\n\n{"prompt": "\xe9"}]'))
    assert bad == [(3, "bad UTF-8: byte 0xe9")]
    assert len(good) == 1


def test_bad_utf8_in_parquet_is_told_by_row(tmp_path: Path) -> None:
    binary = pyarrow.array([b"a", b"\xff", b"c"], pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 3, binary.buffers())
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"prompt": text}), path)
    good, bad = read(path)
    assert good == [(1, {"prompt": "a"}), (3, {"prompt": "c"})]
    assert bad == [(2, "bad UTF-8: byte 0xff")]


def test_a_quote_never_closed_is_told_where_it_opens(write_file: WriteFile) -> None:
    good, bad = read(write_file("a.csv", 'id,prompt\n1,a\n2,"b\n3,c\n4,d\n'))
    assert [line for line, _ in good] == [2]
    assert bad == [
        (3, "broken line: a quote is opened and never closed, so lines 4 to 5 could not be read")
    ]


def test_a_row_without_end_is_not_held_in_memory(write_file: WriteFile) -> None:
    line = "x" * 1023 + "\n"
    good, bad = read(write_file("a.csv", 'prompt\na\n"' + line * (MOST_ROW // 1024 + 2)))
    assert [line for line, _ in good] == [2]
    assert bad[0][0] == 3
    assert "the row is over 16 MiB long; is a quote left open?" in bad[0][1]
    long = '{"prompt": "' + "x" * MOST_ROW
    good, bad = read(write_file("a.jsonl", f'{{"prompt": "a"}}\n{long}"}}\n{{"prompt": "b"}}\n'))
    assert [line for line, _ in good] == [1, 3]
    assert bad == [(2, "the line is over 16 MiB long")]
    good, bad = read(write_file("a.json", f'[{{"prompt": "a"}},\n{long}'))
    assert [line for line, _ in good] == [1]
    assert "over 16 MiB" in bad[0][1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"prompt": }', "broken JSON: Expecting value at character 12 of the row"),
        ("[1]", "not an object but an array"),
        ("5", "not an object but a number"),
        ("null", "not an object but null"),
        ('{"prompt": "b", "x": NaN}', "broken JSON: NaN is not JSON"),
        ('{"prompt": "b", "x": 1e999}', "'x' holds a number that is not finite"),
        ('{"prompt": "b\\u0000"}', "'prompt' holds a NUL character, which cannot be stored"),
        ('{"prompt": "\\ud800"}', "'prompt' holds half of a surrogate pair, which is no text"),
        ('{"x": [{"y": "\\u0000"}]}', "'x' holds a NUL character, which cannot be stored"),
        ('{"x": ' + "[" * 5000 + "]" * 5000 + "}", "broken JSON: nested too deeply"),
    ],
)
def test_a_broken_row_of_json_costs_itself_only(
    write_file: WriteFile, text: str, reason: str
) -> None:
    good, bad = read(write_file("a.jsonl", f'{{"prompt": "a"}}\n{text}\n{{"prompt": "c"}}'))
    assert [line for line, _ in good] == [1, 3]
    assert bad == [(2, reason)]
    good, bad = read(write_file("a.json", f'[{{"prompt": "a"}},\n{text},\n{{"prompt": "c"}}]'))
    assert [line for line, _ in good] == [1, 3]
    assert bad == [(2, reason)]


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        (",\n", (1, "broken JSON: the file ends inside the array")),
        (',\n {"prompt": "b', (1, "broken JSON: the file ends inside the array")),
        ('] [{"prompt": "b"}]', (1, "broken JSON: text after the end of the array")),
        (",]", (1, "broken JSON: Expecting value at character 1 of the row")),
    ],
)
def test_an_array_that_ends_badly_keeps_what_came_before(
    write_file: WriteFile, rest: str, problem: tuple[int, str]
) -> None:
    good, bad = read(write_file("a.json", f'[{{"prompt": "a"}}{rest}'))
    assert good == [(1, {"prompt": "a"})]
    assert bad == [problem]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.json", b"  ", "the file is empty"),
        ("a.jsonl", b"\n", "the file has no rows"),
        ("a.json", b"[]", "the file has no rows"),
        ("a.json", b'{"data": []}', "does not hold an array of objects"),
        ("a.json", b"12", "does not hold an array of objects"),
        ("a.jsonl", b"prompt\nx\n", "no row can be read; line 1: broken JSON"),
        ("a.csv", b"prompt,prompt\na,b\n", "two columns have the same name: 'prompt'"),
        ("a.csv", b'"prompt\na\n', "line 1, which names the columns: broken line"),
        ("a.csv", b"prompt,kind\rx,y\r", "its lines end in a carriage return alone"),
        ("a.csv", "prompt\nx\n".encode("utf-16"), "UTF-16"),
        ("a.parquet", b"no", "not a Parquet file"),
        ("a.xlsx", b"", "unknown format '.xlsx'"),
        ("a", b"", "unknown format ''"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    write_file: WriteFile, name: str, content: bytes, sentence: str
) -> None:
    path = write_file(name, content)
    with pytest.raises(Unreadable) as failure:
        rows_of(path)
    assert str(failure.value).startswith(f"{path}: ")
    assert sentence in str(failure.value)


@pytest.mark.parametrize("name", [r"k\u0000", r"k\ud800"])
def test_a_column_whose_name_cannot_be_stored_costs_its_row(
    write_file: WriteFile, name: str
) -> None:
    path = write_file("a.jsonl", f'{{"prompt": "a", "{name}": 1}}\n{{"prompt": "b"}}\n')
    with open_table(path) as table:
        bad, good = table.rows
    assert isinstance(bad, Problem) and bad.reason.startswith("'k\\")
    assert isinstance(good, Row)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"none\.csv: No such file or directory"):
        rows_of(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(Unreadable, match="Is a directory"):
        rows_of(tmp_path / "folder.csv")
