"""Everything that reviewers said, as rows for a file: decisions, edits, rejections, what was
withdrawn, ratings, and where each comes from.

Read in parts by id, so that memory holds one part and no cursor stays open. Reviewing stays blind:
a person gets others' reviews of a rewrite once it takes no more; the operator gets all.
"""

import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from alignment.models import Project, Review, ReviewItem, Stage, Status

PART = 2000
# Column and where it comes from; `reviews` import reads them again under the same names.
COLUMNS = {
    "review": "id",
    "run": "item__stage__run__name",
    "round": "item__stage__round",
    "stage": "item__stage_id",
    "item": "item_id",
    "state": "item__state",
    "rewrite_key": "item__prompt__key",
    "original": "item__prompt__parent__text",
    "rewrite": "item__prompt__text",
    "strategy": "item__prompt__strategy",
    "outcome": "item__outcome__text",
    "reviewer": "reviewer__name",
    "has_login": "reviewer__user_id",
    "decision": "decision",
    "text": "edited_text",
    "distance": "distance",
    "reason": "reason",
    "words": "words",
    "ratings": "ratings",
    "adjudicates": "adjudicates",
    "bulk": "bulk_id",
    "guideline": "guideline__version",
    "carried_from": "carried_from_id",
    "source": "source",
    "leased_at": "leased_at",
    "created_at": "created_at",
    "withdrawn_at": "withdrawn_at",
}
_WHOLE = ("review", "round", "stage", "item", "distance", "bulk", "guideline", "carried_from")
_TIMES = ("leased_at", "created_at", "withdrawn_at")


def export_rows(
    project: Project, viewer: User | None, stage: Stage | None = None
) -> Iterator[list[dict[str, Any]]]:
    """The project's reviews, or a stage's, by id in parts; ratings in columns of their own.

    viewer: whose eyes it is for; None is the operator, who sees all.
    """
    found = _visible(project, viewer, stage)
    last = 0
    while part := list(found.filter(pk__gt=last).values_list(*COLUMNS.values())[:PART]):
        last = part[-1][0]
        yield [_row(dict(zip(COLUMNS, values, strict=True))) for values in part]


def _visible(project: Project, viewer: User | None, stage: Stage | None) -> "QuerySet[Review]":
    found = Review.objects.filter(item__stage__run__project=project).order_by("pk")
    if stage is not None:
        found = found.filter(item__stage=stage)
    if viewer is not None:
        takes_more = Q(item__state=ReviewItem.State.PENDING, item__stage__status=Status.WAITING)
        found = found.exclude(takes_more & ~Q(reviewer__user_id=viewer.pk))
    return found


def _row(row: dict[str, Any]) -> dict[str, Any]:
    ratings = row.pop("ratings")
    row["has_login"] = row["has_login"] is not None
    return {**row, **{name: ratings.get(name) for name in Review.Question.values}}


def as_json_lines(parts: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    """JSON Lines, a part at a time; times as ISO 8601."""
    for part in parts:
        lines = (json.dumps(row, default=lambda t: t.isoformat()) for row in part)
        yield "".join(f"{line}\n" for line in lines).encode()


def as_parquet(parts: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    """One Parquet file, a row group a part."""
    import pyarrow
    from pyarrow import parquet

    schema = _schema(pyarrow)
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema) as writer:
        for part in parts:
            writer.write_table(pyarrow.Table.from_pylist(part, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _schema(pyarrow: Any) -> Any:
    names = [name for name in COLUMNS if name != "ratings"] + Review.Question.values
    kinds = dict.fromkeys((*_WHOLE, *Review.Question.values), pyarrow.int64())
    kinds |= dict.fromkeys(_TIMES, pyarrow.timestamp("us", tz="UTC"))
    kinds |= {"has_login": pyarrow.bool_(), "adjudicates": pyarrow.bool_()}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in names])


async def streamed(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The parts one by one, each made in the request's own thread while the one before is sent; a
    plain iterator would be run to its end first."""
    following = sync_to_async(lambda: next(parts, None))
    while (part := await following()) is not None:
        yield part


class _Sink(io.RawIOBase):
    """Takes what is written, until it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._size += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        found = b"".join(self._parts)
        self._parts = []
        return found
