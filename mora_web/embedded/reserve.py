"""A few megabytes beside the embedded database, given up when its disk is full: what failed can
then still be written down. Kept again once there is room."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

SIZE = 32 * 2**20  # bytes; PostgreSQL's log alone grows by 16 MB at a time
ROOM = 4 * SIZE
LEAST = 2**20
NAME = "reserve"


def keep(folder: Path) -> None:
    """Set the reserve aside, where it is not and the disk has room for it."""
    reserve = folder / NAME
    with suppress(OSError):
        if not reserve.exists() and shutil.disk_usage(folder).free >= ROOM:
            with reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, SIZE)


def is_full(folder: Path) -> bool:
    """Whether the disk has no room left for the database."""
    return folder.exists() and shutil.disk_usage(folder).free < LEAST


def give_up(folder: Path) -> None:
    (folder / NAME).unlink(missing_ok=True)
