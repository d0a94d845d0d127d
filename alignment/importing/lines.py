"""The physical lines of a text file, numbered from 1 and bounded in memory."""

from collections.abc import Iterator
from io import BufferedReader
from typing import BinaryIO

from alignment.importing.rows import MOST_ROW, Unreadable

BOM = b"\xef\xbb\xbf"
TOO_LONG = f"is over {MOST_ROW // 2**20} MiB long"


def skip_mark(file: BufferedReader) -> bool:
    """Pass over a byte-order mark at the start of the file, and say whether there was one.

    Raises Unreadable for the marks of UTF-16 and UTF-32.
    """
    start = file.peek(len(BOM))
    if start.startswith(BOM):
        file.read(len(BOM))
        return True
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Unreadable("the file is in UTF-16 or UTF-32; save it as UTF-8")
    return False


def physical_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Each line's number and its bytes with the line end; None for one over MOST_ROW bytes."""
    number = 0
    while line := file.readline(MOST_ROW + 1):
        number += 1
        if len(line) <= MOST_ROW:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MOST_ROW)
        yield number, None


def decoded(number: int, line: bytes) -> tuple[str, str]:
    """The line's text, and what is wrong with it as UTF-8, if anything."""
    try:
        return line.decode(), ""
    except UnicodeDecodeError as error:
        where = f"at byte {error.start + 1} of line {number}"
        return line.decode(errors="replace"), f"bad UTF-8: byte 0x{line[error.start]:02x} {where}"
