"""The small markup of guidelines: headings (#), lists (-, 1.), **strong** and `code`; all else is
plain text. It gives blocks of plain strings, which templates escape."""

import re
from dataclasses import dataclass

# A line in parts: each `same`, `b` or `code`.
Parts = list[tuple[str, str]]
HEADING, ITEM = re.compile(r"#{1,4}\s+(.*)"), re.compile(r"\s*(?:[-*]|(\d{1,3})[.)])\s+(.*)")
INLINE = re.compile(r"\*\*(?P<b>[^*\n]+)\*\*|`(?P<code>[^`\n]+)`")


@dataclass(frozen=True, kw_only=True)
class Block:
    """kind: `h`, `p`, `ul` or `ol`; one line for each heading, line of a paragraph or item."""

    kind: str
    lines: list[Parts]


def blocks(text: str) -> list[Block]:
    found: list[Block] = []
    last = ""
    for line in text.splitlines():
        kind, content = _read(line)
        if kind and kind == last != "h":
            found[-1].lines.append(parts(content))
        elif kind:
            found.append(Block(kind=kind, lines=[parts(content)]))
        last = kind
    return found


def _read(line: str) -> tuple[str, str]:
    if not line.strip():
        return "", ""
    if heading := HEADING.fullmatch(line):
        return "h", heading[1]
    if item := ITEM.fullmatch(line):
        return ("ol" if item[1] else "ul"), item[2]
    return "p", line


def parts(line: str) -> Parts:
    found: Parts = []
    at = 0
    for match in INLINE.finditer(line):
        found.append(("same", line[at : match.start()]))
        kind = match.lastgroup or "same"
        found.append((kind, match[kind]))
        at = match.end()
    found.append(("same", line[at:]))
    return [(kind, text) for kind, text in found if text]
