"""Decisions made elsewhere, in a file that somebody sends to a review."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile

from alignment.importing.rows import Unreadable
from alignment.method.errors import MoraError
from alignment.models import Role, Stage, Status
from alignment.permissions import require
from alignment.reviewing import Closed, closed_sentence
from alignment.services.imported_reviews import import_reviews
from alignment.services.imports import Imported

MOST_MB = 50
LONGEST_NAME = 60  # characters, of which no file system needs more than 240 bytes


class TooLarge(MoraError):
    """A file over what is taken."""


def import_upload(*, stage: Stage, file: "UploadedFile[Any]", by: User, skip_bad: bool) -> Imported:
    """Record a sent file's decisions in an open review, as `import_reviews` does.

    The end of the file's name says its format. Raises TooLarge; Closed; and as `import_reviews`
    does.
    """
    require(by, stage.run.project, Role.RESEARCHER)
    if (file.size or 0) > MOST_MB * 10**6:
        raise TooLarge(f"the file is over {MOST_MB} MB; import it in parts")
    if stage.status != Status.WAITING:
        raise Closed(closed_sentence(stage.status))
    with TemporaryDirectory() as folder:
        path = Path(folder, Path(file.name or "").name[-LONGEST_NAME:])
        with path.open("wb") as kept:
            kept.writelines(file.chunks())
        try:
            return import_reviews(run=stage.run, path=path, columns={}, by=by, skip_bad=skip_bad)
        except Unreadable as error:
            raise Unreadable(str(error).replace(f"{folder}/", "")) from error
