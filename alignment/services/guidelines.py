"""Guidelines: what reviewers go by. A change is a new version; a review keeps the one in force."""

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from alignment.importing.rows import flaw
from alignment.method.errors import MoraError
from alignment.models import Guideline, Project, Role
from alignment.permissions import require

MOST_TEXT = 50_000


def publish_guideline(*, project: Project, text: str, by: User, after: int) -> Guideline:
    """Put a new version in force. after: the version that it was written from, 0 for the first.

    Raises MoraError for an empty, unchanged or unstorable text, and where somebody published
    another version meanwhile; Denied below researcher.
    """
    require(by, project, Role.RESEARCHER)
    text = text.replace("\r\n", "\n").strip()
    if not text or len(text) > MOST_TEXT:
        raise MoraError(f"a guideline has 1 to {MOST_TEXT:,} characters; this has {len(text):,}")
    if reason := flaw({"text": text}):
        raise MoraError(f"the guideline {reason.partition(' ')[2]}; remove it")
    latest = project.guidelines.first()
    if latest and latest.text == text:
        raise MoraError(f"this is version {latest.version} as it stands; nothing was changed")
    if (latest.version if latest else 0) != after:
        raise MoraError("somebody published another version meanwhile; look at it first")
    try:
        with transaction.atomic():
            return Guideline.objects.create(
                project=project, version=after + 1, text=text, created_by=by
            )
    except IntegrityError as error:
        raise MoraError("somebody published another version meanwhile; look at it first") from error
