"""A JSON array of objects, streamed: cut at its own commas, then parsed element by element.

So a broken element costs itself only, and memory holds one element at a time.
"""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from alignment.importing.json_lines import row_of
from alignment.importing.lines import TOO_LONG
from alignment.importing.rows import MOST_ROW, Problem, Row, Unreadable

_CHUNK = 256 * 1024
_OUTSIDE = re.compile(r'["{}\[\],]')
_IN_STRING = re.compile(r'["\\]')
_BAD_BYTE = re.compile("[\udc80-\udcff]")  # what decoding leaves of a byte that is not UTF-8
_NO_ARRAY = "the file does not hold an array of objects; if each line is one, name it .jsonl"


def read(file: BinaryIO) -> Iterator[Row | Problem]:
    """The elements of a file opened after its byte-order mark, if any.

    Raises Unreadable where the file does not start with an array.
    """
    cutter = _Cutter()
    for text in _decoded(file):
        for line, element in cutter.feed(text):
            yield _row(line, element)
        if cutter.size > MOST_ROW:
            reason = f"the row {TOO_LONG}; is a quote left open? The file was read no further"
            yield Problem(line=cutter.start, reason=reason)
            return
    if cutter.depth > 0:
        yield Problem(line=cutter.start, reason="broken JSON: the file ends inside the array")
    elif cutter.rest() and not cutter.ended:
        raise Unreadable(_NO_ARRAY)
    elif cutter.rest():
        yield Problem(line=cutter.line, reason="broken JSON: text after the end of the array")
    elif not cutter.ended:
        raise Unreadable("the file is empty")


def _row(line: int, element: str) -> Row | Problem:
    text = element.lstrip()
    line += element[: len(element) - len(text)].count("\n")
    if bad := _BAD_BYTE.search(text):
        return Problem(line=line, reason=f"bad UTF-8: byte 0x{ord(bad.group()) - 0xDC00:02x}")
    return row_of(line, text)


def _decoded(file: BinaryIO) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    while chunk := file.read(_CHUNK):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


class _Cutter:
    """Cuts an array's text at its commas. depth: 0 before and after the array, 1 between its
    elements; start, size: line and length of the element being read."""

    def __init__(self) -> None:
        self.depth, self.line, self.start, self.size = 0, 1, 1, 0
        self.ended = False
        self._parts: list[str] = []
        self._in_string = self._escaped = False
        self._first = True

    def feed(self, text: str) -> Iterator[tuple[int, str]]:
        """The elements that this text completes, each with the line after the comma before it."""
        at = done = 0
        while True:
            if self._escaped and at < len(text):
                at, self._escaped = at + 1, False
            found = (_IN_STRING if self._in_string else _OUTSIDE).search(text, at)
            if found is None:
                break
            at = found.end()
            token = found.group()
            if self._in_string:
                self._escaped = token == "\\"
                self._in_string = token != '"'
            elif self.ended:
                break
            elif self.depth == 0:
                self._enter(text[done : found.start()], token)
                done = at
            elif self.depth == 1 and token in ",]":
                self._take(text[done : found.start()])
                yield from self._whole(last=token == "]")
                done = at
            else:
                self._in_string = token == '"'
                self.depth += (token in "{[") - (token in "}]" and self.depth > 1)
        self._take(text[done:])

    def rest(self) -> str:
        """What stands after the last element, but for blanks."""
        return "".join(self._parts).strip()

    def _enter(self, before: str, token: str) -> None:
        """The array begins; nothing but blanks may stand before it."""
        self._take(before)
        if token != "[" or self.rest():
            raise Unreadable(_NO_ARRAY)
        self.depth, self.start, self.size, self._parts = 1, self.line, 0, []

    def _take(self, text: str) -> None:
        self._parts.append(text)
        self.size += len(text)
        self.line += text.count("\n")

    def _whole(self, *, last: bool) -> Iterator[tuple[int, str]]:
        element = "".join(self._parts)
        if element.strip() or not (last and self._first):
            yield self.start, element
        self._parts, self.size, self.start, self._first = [], 0, self.line, False
        if last:
            self.depth, self.ended = 0, True
