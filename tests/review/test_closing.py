"""The end of a review: its clock, what stops it, and what a rerun from it begins with."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.method.errors import MoraError
from alignment.models import Review, Run, Stage
from alignment.permissions import Denied
from alignment.queries.desk import progress
from alignment.queries.own_reviews import own, own_reviews
from alignment.services.queue import next_item
from alignment.services.reruns import close_review_now, rerun_from, rerun_plan
from alignment.services.reviews import adjudicate, decide_rewrite, undo_review
from tests.review.conftest import APPROVE, FLAG, REJECT, desk, edit
from workers.sweeper import close_reviews


def decide_all(stage: Stage, by: User) -> None:
    while item := next_item(project=stage.run.project, by=by, stage=stage):
        decide_rewrite(item=item, by=by, answer=APPROVE, lease=item.lease)
    stage.refresh_from_db()


def run_out(stage: Stage) -> None:
    Stage.objects.filter(pk=stage.pk).update(closes_at=Now() - timedelta(seconds=1))


def test_the_clock_starts_with_the_last_decision_and_the_sweeper_ends_the_stage(
    run: Run, bob: User, django_capture_on_commit_callbacks: Any
) -> None:
    stage = desk(run, 2, close_after=90)
    assert progress(stage).closes_in is None
    decide_all(stage, bob)
    left = progress(stage).closes_in
    assert left is not None and 80 < left <= 90
    close_reviews()
    stage.refresh_from_db()
    assert stage.status == "waiting"
    run_out(stage)
    with django_capture_on_commit_callbacks(execute=True):
        close_reviews()
    stage.refresh_from_db()
    assert (stage.status, stage.empty) == ("succeeded", False)
    assert run.stages.get(kind="resample", round=1).status == "queued"


def test_taking_a_decision_back_stops_the_clock(run: Run, bob: User) -> None:
    stage = desk(run, 2)
    decide_all(stage, bob)
    assert stage.closes_at is not None
    undo_review(item=stage.review_items.select_related("stage__run__project")[0], by=bob)
    run_out(Stage.objects.create(run=run, position=99, round=1, kind="review", config={}))
    close_reviews()
    stage.refresh_from_db()
    assert (stage.status, stage.closes_at) == ("waiting", None)


def test_a_dispute_keeps_the_stage_open(run: Run, bob: User) -> None:
    stage = desk(run, 1)
    item = next_item(project=run.project, by=bob)
    assert item is not None
    decide_rewrite(item=item, by=bob, answer=FLAG)
    stage.refresh_from_db()
    assert (stage.closes_at, stage.disputed) == (None, 1)
    assert Stage.objects.get(pk=stage.pk).status == "waiting"


def test_without_a_delay_the_last_decision_ends_the_stage_at_once(run: Run, bob: User) -> None:
    stage = desk(run, 1, close_after=0)
    decide_all(stage, bob)
    assert stage.status == "succeeded"


def test_a_review_that_keeps_nothing_says_so(run: Run, bob: User) -> None:
    stage = desk(run, 1, close_after=0)
    item = next_item(project=run.project, by=bob)
    assert item is not None
    decide_rewrite(item=item, by=bob, answer=REJECT)
    stage.refresh_from_db()
    assert (stage.empty, stage.reason) == (True, "no rewrite was approved")


def test_a_run_goes_on_at_once_where_a_researcher_says_so(
    run: Run, bob: User, people: dict[str, User]
) -> None:
    stage = desk(run, 2)
    with pytest.raises(MoraError, match="undecided"):
        close_review_now(stage=stage, by=people["researcher"])
    decide_all(stage, bob)
    with pytest.raises(Denied):
        close_review_now(stage=stage, by=bob)
    close_review_now(stage=stage, by=people["researcher"])
    stage.refresh_from_db()
    assert stage.status == "succeeded"


def test_a_cancelled_review_that_is_retried_keeps_its_decisions(
    run: Run, bob: User, judge: User
) -> None:
    stage = desk(run, 3)
    first = next_item(project=run.project, by=bob)
    assert first is not None
    decide_rewrite(item=first, by=bob, answer=APPROVE)
    second = next_item(project=run.project, by=bob)
    assert second is not None
    decide_rewrite(item=second, by=bob, answer=FLAG)
    lifecycle.cancel(run)
    lifecycle.retry(run)
    stage.refresh_from_db()
    assert (stage.status, stage.total, stage.done, stage.disputed) == ("waiting", 3, 1, 1)


def test_a_rerun_begins_with_the_earlier_decisions_and_waits_for_a_change(
    run: Run, bob: User, judge: User, people: dict[str, User]
) -> None:
    stage = desk(run, 3, close_after=0)
    items = list(stage.review_items.select_related("stage__run__project").order_by("pk"))
    for item, answer in zip(items, (APPROVE, edit("Mend it how?"), REJECT), strict=True):
        decide_rewrite(item=item, by=bob, answer=answer)
    stage.refresh_from_db()
    plan = rerun_plan(stage)
    assert [row.stage.kind for row in plan if row.again][:2] == ["review", "resample"]
    assert plan[stage.position].why == "begins with the decisions made"
    with pytest.raises(Denied):
        rerun_from(stage=stage, by=judge)

    again = rerun_from(stage=stage, by=people["researcher"])
    assert again.name == "run (2)"
    before = again.stages.filter(position__lt=stage.position)
    assert all(s.status == "succeeded" and s.reused_from for s in before)
    new = again.stages.get(position=stage.position)
    assert (new.status, new.total, new.done, new.closes_at) == ("waiting", 3, 3, None)
    assert [i.state for i in new.review_items.order_by("pk")] == ["approved", "edited", "rejected"]
    assert Review.objects.filter(item__stage=new).exclude(carried_from=None).count() == 3
    close_reviews()
    new.refresh_from_db()
    assert new.status == "waiting"

    last = new.review_items.select_related("stage__run__project").order_by("-pk")[0]
    held = undo_review(item=last, by=bob)
    decide_rewrite(item=held, by=bob, answer=APPROVE, lease=held.lease)
    new.refresh_from_db()
    assert new.status == "succeeded"
    assert [r.decision for r in Review.objects.filter(item=items[2])] == ["reject"]


def test_a_rerun_counts_and_lists_no_review_of_a_person_twice(
    run: Run, bob: User, people: dict[str, User]
) -> None:
    stage = desk(run, 3, close_after=0)
    decide_all(stage, bob)
    for _ in range(2):
        rerun_from(stage=stage, by=people["researcher"])
    newest = Stage.objects.filter(kind="review", run__project=run.project).latest("pk")
    assert own(run.project, bob).today == 3
    listed = list(own_reviews(run.project, bob))
    assert [review.item.stage_id for review in listed] == [newest.pk] * 3
    assert own(run.project, bob).recent == listed[:1]
    undo_review(item=listed[0].item, by=bob)
    assert len(own_reviews(run.project, bob)) == 3, "its word in the run before stands"


def test_an_adjudicator_may_overrule_what_reviewers_decided(
    run: Run, bob: User, judge: User
) -> None:
    stage = desk(run, 1)
    decide_all(stage, bob)
    item = stage.review_items.select_related("stage__run__project")[0]
    adjudicate(item=item, by=judge, answer=REJECT)
    item.refresh_from_db()
    stage.refresh_from_db()
    assert (item.state, stage.done) == ("rejected", 1)
    assert stage.closes_at is not None


def test_only_a_stage_that_has_ended_is_rerun_from(stage: Stage, people: dict[str, User]) -> None:
    with pytest.raises(MoraError, match="is waiting"):
        rerun_from(stage=stage, by=people["owner"])
    Stage.objects.filter(run=stage.run, kind="mine").update(status="failed")
    Stage.objects.filter(pk=stage.pk).update(status="cancelled")
    stage.refresh_from_db()
    with pytest.raises(MoraError, match="mine stage before it failed"):
        rerun_from(stage=stage, by=people["owner"])


def test_a_rerun_of_settings_that_are_no_longer_taken_says_which(
    stage: Stage, people: dict[str, User]
) -> None:
    run = stage.run
    Run.objects.filter(pk=run.pk).update(config={**run.config, "mine": {"spread_above": 1.5}})
    Stage.objects.filter(pk=stage.pk).update(status="cancelled")
    Stage.objects.filter(run=run, position__lt=stage.position).update(status="succeeded")
    with pytest.raises(MoraError, match="spread_above: Input should be less than or equal"):
        rerun_from(stage=Stage.objects.get(pk=stage.pk), by=people["researcher"])
