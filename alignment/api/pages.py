"""Lists a part at a time: `after` is the `next` of the part before, so nothing shifts meanwhile."""

from typing import Annotated, Any, Generic, TypeVar

from django.db.models import QuerySet
from ninja import Path, Query, Schema

MOST = 200
MOST_ID = 2**63 - 1
Item = TypeVar("Item")

Id = Annotated[int, Path(ge=1, le=MOST_ID)]
Slug = Annotated[str, Path(max_length=100, pattern=r"^[-a-zA-Z0-9_]+$")]
After = Annotated[
    int | None, Query(ge=1, le=MOST_ID, description="`next` of the part before; none: from the top")
]
Limit = Annotated[int, Query(ge=1, le=MOST)]


class Page(Schema, Generic[Item]):
    """`next` is None on the last part."""

    items: list[Item]
    next: int | None


def page(
    found: "QuerySet[Any]", after: int | None, limit: int, *, newest_first: bool = False
) -> dict[str, Any]:
    """A part of the rows by id."""
    if after is not None:
        found = found.filter(pk__lt=after) if newest_first else found.filter(pk__gt=after)
    rows = list(found.order_by("-pk" if newest_first else "pk")[: limit + 1])
    more = len(rows) > limit
    return {"items": rows[:limit], "next": rows[limit - 1].pk if more else None}
