"""Reviews as files: everything that was said here, and decisions that were made elsewhere."""

from collections.abc import Iterator

from django.http import StreamingHttpResponse
from ninja import File, Form, Router, UploadedFile

from alignment.api.access import project_for, stage_for
from alignment.api.auth import Request
from alignment.api.imported import ImportedOut, imported_out
from alignment.api.pages import Id, Slug
from alignment.models import Role
from alignment.queries.review_exports import as_json_lines, as_parquet, export_rows, streamed
from alignment.services.uploads import send_reviews

router = Router(tags=["review desk"])


@router.get("/projects/{slug}/review/export.jsonl", response=None)
def export_reviews(request: Request, slug: Slug) -> StreamingHttpResponse:
    """Everything that reviewers said, as JSON Lines; withdrawn reviews too. Reviews of others
    come once a rewrite takes no more."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    parts = as_json_lines(export_rows(project, request.auth))
    return _file(parts, "application/jsonl", f"{slug}-reviews.jsonl")


@router.get("/projects/{slug}/review/export.parquet", response=None)
def export_reviews_parquet(request: Request, slug: Slug) -> StreamingHttpResponse:
    """The same as a Parquet file."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    parts = as_parquet(export_rows(project, request.auth))
    return _file(parts, "application/vnd.apache.parquet", f"{slug}-reviews.parquet")


def _file(parts: Iterator[bytes], kind: str, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        streamed(parts),
        content_type=kind,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/stages/{stage_id}/reviews/import", response=ImportedOut)
def import_reviews(
    request: Request, stage_id: Id, file: File[UploadedFile], skip_bad: Form[bool] = False
) -> ImportedOut:
    """Record decisions that were made elsewhere in an open review. The file is CSV, JSON, JSONL or
    Parquet by its name, up to 50 MB; one of the export is read as it is. A bad row keeps all out,
    unless `skip_bad`."""
    stage = stage_for(request.auth, stage_id, Role.RESEARCHER)
    done = send_reviews(stage=stage, file=file, by=request.auth, skip_bad=skip_bad)
    return imported_out(done)
