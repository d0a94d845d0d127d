"""Bulk decisions: what a preview fixes, what applying it decides, and what its undo takes back."""

import pytest
from django.contrib.auth.models import User

from alignment.method.errors import MoraError
from alignment.models import Project, Review, Run, Stage
from alignment.permissions import Denied
from alignment.review_filters import ReviewFilter, filtered
from alignment.reviewing import Closed
from alignment.services.answers import Answer, BadAnswer
from alignment.services.bulk import apply_bulk, preview_bulk, undo_bulk
from alignment.services.queue import Held, next_item
from alignment.services.reviews import decide_rewrite, undo_review
from tests.review.conftest import APPROVE, FLAG, REJECT, SKIP, desk, edit
from tests.web.conftest import add_verdict


def states(stage: Stage) -> list[str]:
    return list(stage.review_items.order_by("pk").values_list("state", flat=True))


def begin(stage: Stage, bob: User, cy: User) -> None:
    """Of six rewrites: pending, begun, skipped, flagged, disputed, decided."""
    items = list(stage.review_items.select_related("stage__run__project").order_by("pk"))
    for number, who, answer in (
        (1, bob, APPROVE),
        (2, bob, SKIP),
        (3, bob, FLAG),
        (4, bob, APPROVE),
        (4, cy, REJECT),
        (5, bob, REJECT),
        (5, cy, REJECT),
    ):
        decide_rewrite(item=items[number], by=who, answer=answer)


def test_a_bulk_decision_is_undone_exactly(run: Run, bob: User, cy: User, judge: User) -> None:
    stage = desk(run, 6, overlap=2)
    begin(stage, bob, cy)
    before = list(stage.review_items.order_by("pk").values("state", "outcome", "seen_by"))
    tallies = list(stage.tallies.order_by("pk").values("open", "reject"))
    stage.refresh_from_db()
    counted = (stage.done, stage.disputed, stage.closes_at)
    assert counted == (1, 2, None)

    bulk = preview_bulk(chosen=ReviewFilter(stage=stage.pk), by=judge, answer=APPROVE)
    assert len(bulk.items) == 5
    assert states(stage) == [row["state"] for row in before]
    assert apply_bulk(token=bulk.token, by=judge).applied == 5
    assert apply_bulk(token=bulk.token, by=judge).applied == 5
    assert states(stage) == ["approved"] * 5 + ["rejected"]
    stage.refresh_from_db()
    assert (stage.done, stage.disputed) == (6, 0)
    assert stage.closes_at is not None
    item = stage.review_items.select_related("stage__run__project").order_by("pk")[1]
    with pytest.raises(Held, match="adjudicated since"):
        undo_review(item=item, by=bob)
    with pytest.raises(Held, match="undo the bulk decision"):
        undo_review(item=item, by=judge)

    undo_bulk(token=bulk.token, by=judge)
    undo_bulk(token=bulk.token, by=judge)
    with pytest.raises(MoraError, match="was taken back; preview it again"):
        apply_bulk(token=bulk.token, by=judge)
    assert list(stage.review_items.order_by("pk").values("state", "outcome", "seen_by")) == before
    stage.refresh_from_db()
    assert (stage.done, stage.disputed, stage.closes_at) == counted
    mine = stage.tallies.exclude(reviewer__name="a-adjudicator").order_by("pk")
    assert list(mine.values("open", "reject")) == tallies
    assert Review.objects.filter(bulk=bulk).count() == 5


def test_what_was_decided_or_taken_since_the_preview_stays_as_it_is(
    project: Project, run: Run, bob: User, cy: User, judge: User
) -> None:
    stage = desk(run, 3)
    bulk = preview_bulk(chosen=ReviewFilter(stage=stage.pk), by=judge, answer=REJECT)
    assert len(bulk.items) == 3
    first = next_item(project=project, by=bob)
    assert first is not None
    decide_rewrite(item=first, by=bob, answer=APPROVE)
    assert next_item(project=project, by=cy) is not None
    assert apply_bulk(token=bulk.token, by=judge).applied == 1
    assert states(stage) == ["approved", "pending", "rejected"]


def test_a_filter_means_what_it_says(run: Run, bob: User) -> None:
    stage = desk(run, 8)
    items = list(stage.review_items.select_related("prompt__parent").order_by("pk"))
    mine = run.stages.get(kind="mine", round=1)
    assert items[0].prompt.parent is not None
    add_verdict(mine, items[0].prompt.parent)
    decide_rewrite(item=items[7], by=bob, answer=APPROVE)

    def found(**parts: str) -> list[int]:
        chosen = filtered(ReviewFilter(stage=stage.pk, **parts))
        return [items.index(item) for item in chosen]

    assert found() == list(range(8))
    assert found(state="approved") == [7]
    assert found(state="undecided", strategy="fuse") == list(range(7))
    assert found(strategy="none") == []
    assert found(missing="helpful") == [0, 6]  # six originals, of which the first is used twice
    assert found(missing="harmless") == []
    assert found(contains="PART 3") == [3]
    assert found(contains="100%") == []
    for part in ("contains", "missing", "strategy", "state"):
        assert found(**{part: "\x00"}) == found()
    assert found(missing="help\x00ful", contains="\ud800") == [0, 6]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (edit("Mend it how?"), "approved or rejected"),
        (Answer(decision="reject"), "needs a reason"),
    ],
)
def test_a_bulk_decision_that_cannot_be_is_refused(
    stage: Stage, judge: User, answer: Answer, told: str
) -> None:
    with pytest.raises(BadAnswer, match=told):
        preview_bulk(chosen=ReviewFilter(stage=stage.pk), by=judge, answer=answer)


def test_a_filter_that_means_nothing_is_refused(stage: Stage, judge: User) -> None:
    chosen = ReviewFilter(stage=stage.pk, contains="no such words")
    with pytest.raises(BadAnswer, match="no undecided rewrite"):
        preview_bulk(chosen=chosen, by=judge, answer=APPROVE)


def test_bulk_is_for_adjudicators_and_a_preview_for_who_made_it(
    stage: Stage, people: dict[str, User], bob: User, judge: User
) -> None:
    chosen = ReviewFilter(stage=stage.pk)
    with pytest.raises(Denied):
        preview_bulk(chosen=chosen, by=bob, answer=APPROVE)
    bulk = preview_bulk(chosen=chosen, by=judge, answer=APPROVE)
    with pytest.raises(MoraError, match="somebody else's"):
        apply_bulk(token=bulk.token, by=people["researcher"])
    with pytest.raises(MoraError, match="never applied"):
        undo_bulk(token=bulk.token, by=judge)
    apply_bulk(token=bulk.token, by=judge)
    with pytest.raises(Denied):
        undo_bulk(token=bulk.token, by=people["researcher"])
    undo_bulk(token=bulk.token, by=people["owner"])
    assert states(stage) == ["pending"] * 3


def test_a_closed_review_takes_no_bulk_decision_and_no_undo(stage: Stage, judge: User) -> None:
    bulk = preview_bulk(chosen=ReviewFilter(stage=stage.pk), by=judge, answer=APPROVE)
    apply_bulk(token=bulk.token, by=judge)
    Stage.objects.filter(pk=stage.pk).update(status="succeeded")
    with pytest.raises(Closed):
        undo_bulk(token=bulk.token, by=judge)
    with pytest.raises(Closed):
        preview_bulk(chosen=ReviewFilter(stage=stage.pk), by=judge, answer=APPROVE)
