"""Files that people send: prompts into a set, and decisions made elsewhere into a review.

The end of a file's name says its format.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile

from alignment.importing.rows import Unreadable
from alignment.method.errors import MoraError
from alignment.models import Project, Role, Stage, Status
from alignment.permissions import require
from alignment.reviewing import Closed, closed_sentence
from alignment.services.imported_reviews import import_reviews
from alignment.services.imports import Imported, import_prompts

MOST_MB = 50
LONGEST_NAME = 60  # characters, of which no file system needs more than 240 bytes


class TooLarge(MoraError):
    """A file over what is taken."""


def send_reviews(*, stage: Stage, file: "UploadedFile[Any]", by: User, skip_bad: bool) -> Imported:
    """Record a sent file's decisions in an open review. Raises TooLarge; Closed; and as
    `import_reviews` does."""
    require(by, stage.run.project, Role.RESEARCHER)
    with _kept(file) as path:
        if stage.status != Status.WAITING:
            raise Closed(closed_sentence(stage.status))
        return import_reviews(run=stage.run, path=path, columns={}, by=by, skip_bad=skip_bad)


def send_prompts(
    *,
    project: Project,
    set_name: str,
    file: "UploadedFile[Any]",
    by: User,
    column: str = "",
    skip_bad: bool,
) -> Imported:
    """Add a sent file's prompts to a set, which is made where absent; column: of the prompts,
    guessed where empty. Raises TooLarge; and as `import_prompts` does."""
    require(by, project, Role.RESEARCHER)
    columns = {"prompt": column} if column else {}
    with _kept(file) as path:
        return import_prompts(
            project=project,
            set_name=set_name,
            path=path,
            columns=columns,
            by=by,
            skip_bad=skip_bad,
        )


@contextmanager
def _kept(file: "UploadedFile[Any]") -> Iterator[Path]:
    """The file on disk, for as long as it is read; what is said of it names no folder."""
    if (file.size or 0) > MOST_MB * 10**6:
        raise TooLarge(f"the file is over {MOST_MB} MB; import it in parts")
    with TemporaryDirectory() as folder:
        path = Path(folder, Path(file.name or "").name[-LONGEST_NAME:])
        with path.open("wb") as kept:
            kept.writelines(file.chunks())
        try:
            yield path
        except Unreadable as error:
            raise Unreadable(str(error).replace(f"{folder}/", "")) from error
