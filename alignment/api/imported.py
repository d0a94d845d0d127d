"""What an import of a sent file did."""

from ninja import Schema

from alignment.services.imports import Imported


class ImportedOut(Schema):
    """How many rows were recorded, how many were bad and so left out, the first of these with
    line and reason, and what was noticed that harms no row."""

    imported: int
    bad: int
    problems: list[str]
    notes: list[str]


def imported_out(done: Imported) -> ImportedOut:
    return ImportedOut(
        imported=done.rows,
        bad=done.problems.total,
        problems=list(done.problems.lines()),
        notes=list(done.notes),
    )
