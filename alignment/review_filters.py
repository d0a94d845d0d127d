"""Which rewrites of a review stage are meant: a small frozen filter, as lists and bulk use it."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from alignment.models import ReviewItem, Stage, Verdict

State = ReviewItem.State
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class ReviewFilter:
    """Rewrites of a stage; each empty part leaves all in.

    state: of ReviewItem.State, or `undecided`; strategy: that wrote it; missing: a dimension that
    it is to add; contains: text in the rewrite, whatever its case. What no text of the database can
    hold is dropped.
    """

    stage: int
    state: str = ""
    strategy: str = ""
    missing: str = ""
    contains: str = ""

    def __post_init__(self) -> None:
        for name in ("state", "strategy", "missing", "contains"):
            object.__setattr__(self, name, UNSTORABLE.sub("", getattr(self, name)))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def filtered(chosen: ReviewFilter) -> "QuerySet[ReviewItem]":
    """The filter's items that people decide, by id."""
    found = ReviewItem.objects.filter(stage=chosen.stage, needs_person=True)
    if chosen.state == "undecided":
        found = found.filter(state__in=(State.PENDING, State.DISPUTED))
    elif chosen.state:
        found = found.filter(state=chosen.state)
    if chosen.strategy:
        found = found.filter(prompt__strategy=chosen.strategy)
    if chosen.contains:
        found = found.filter(prompt__text__icontains=chosen.contains)
    if chosen.missing:
        verdicts = Verdict.objects.filter(
            stage__in=_mined(chosen.stage),
            prompt=OuterRef("prompt__parent"),
            missing__contains=[chosen.missing],
        )
        found = found.filter(Exists(verdicts))
    return found.order_by("pk")


def _mined(stage_id: int) -> list[int]:
    """Where the verdicts behind a review stage are."""
    stage = Stage.objects.get(pk=stage_id)
    mine = Stage.objects.filter(run=stage.run_id, round=stage.round, kind="mine")
    return [s.source.pk for s in mine.select_related("reused_from")]
