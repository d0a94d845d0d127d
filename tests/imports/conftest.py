"""Files written in a test, and a project to import them into."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alignment.importing.files import open_table
from alignment.importing.rows import Problem, Row
from alignment.method.records import Dimension
from alignment.models import Project
from alignment.services.projects import create_project

WriteFile = Callable[[str, bytes | str], Path]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def project(db: None) -> Project:
    scales = [
        Dimension(name="helpful", scale_low=1, scale_high=5, bar=4),
        Dimension(name="harmless", scale_low=0, scale_high=1, bar=1),
    ]
    return create_project(name="P", dimensions=scales)


def rows_of(path: Path) -> list[Row | Problem]:
    with open_table(path) as table:
        return list(table.rows)


def read(path: Path) -> tuple[list[tuple[int, dict[str, object]]], list[tuple[int, str]]]:
    """The good rows and the problems of a file, each with its line."""
    found = rows_of(path)
    good = [(row.line, row.values) for row in found if isinstance(row, Row)]
    return good, [(p.line, p.reason) for p in found if isinstance(p, Problem)]
