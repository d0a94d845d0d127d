"""The artifacts of a restore: unpacked beside those of the console, and put in their place once
the database's rows are.

The database's commit decides. It carries the restore's mark, and so does the unpacked folder's
name: what was killed in between is completed from there, by whoever migrates next.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from django.conf import settings
from django.db import connection

from alignment.method.errors import MoraError

MARKED = "django_migrations"  # the table whose comment names the restore


def unpack(files: Iterable[tuple[str, IO[bytes]]]) -> str:
    """Write the files beside the artifacts, durably; the mark of what was unpacked."""
    mark = uuid4().hex
    aside = _aside(mark)
    aside.mkdir(parents=True)
    for name, content in files:
        target = aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
    return mark


def belong(mark: str) -> None:
    """Let what was unpacked belong to the database, from the transaction's commit on."""
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON TABLE {MARKED} IS %s", [mark])


def put_in_place(**_: Any) -> None:
    """Put what belongs to the database in the artifacts' place; what was there is kept beside it.

    Does nothing where there is nothing to put. Raises MoraError, and may be called again.
    """
    current = Path(settings.ARTIFACTS)
    kept = current.with_name(f"{current.name}.before-restore")
    for aside in _unpacked():
        if aside.name != _belonging():
            continue
        try:
            with suppress(OSError):
                current.rmdir()  # an empty one is not worth keeping
            if current.exists():
                shutil.rmtree(kept, ignore_errors=True)
                current.rename(kept)
            aside.rename(current)
        except OSError as error:
            raise MoraError(
                f"the database is restored, but its artifacts could not be moved from {aside} to"
                f" {current}: {error.strerror}; put that right, then run manage.py migrate"
            ) from error


def forget() -> None:
    """Remove what was unpacked by restores that never came to their commit."""
    for aside in _unpacked():
        if aside.name != _belonging():
            shutil.rmtree(aside, ignore_errors=True)


def _unpacked() -> list[Path]:
    current = Path(settings.ARTIFACTS)
    return list(current.parent.glob(f"{current.name}.restoring-*"))


def _belonging() -> str:
    """The name of the folder that belongs, or once belonged, to the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [MARKED])
        return _aside(cursor.fetchone()[0]).name


def _aside(mark: str | None) -> Path:
    current = Path(settings.ARTIFACTS)
    return current.with_name(f"{current.name}.restoring-{mark}")
