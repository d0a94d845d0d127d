"""The queue: who is given which rewrite, and for how long."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.db.models.functions import Now

from alignment.method.errors import MoraError
from alignment.models import Project, ReviewItem, Role, Run, Stage
from alignment.permissions import Denied
from alignment.queries.desk import leases, nothing_left
from alignment.services.queue import (
    Held,
    assign_items,
    next_item,
    release_item,
    renew_lease,
    take_item,
)
from alignment.services.reviews import decide_rewrite
from tests.review.conftest import APPROVE, SKIP, desk


def expire(item: ReviewItem) -> None:
    ReviewItem.objects.filter(pk=item.pk).update(lease_expires_at=Now() - timedelta(seconds=1))


def given(project: Project, user: User) -> ReviewItem:
    item = next_item(project=project, by=user)
    assert item is not None
    return item


def review(item: ReviewItem, user: User) -> None:
    decide_rewrite(item=item, by=user, answer=APPROVE, lease=item.lease)


def test_each_person_is_given_a_rewrite_that_nobody_else_holds(
    project: Project, stage: Stage, people: dict[str, User]
) -> None:
    names = ("bob", "cy", "owner")
    items = [given(project, people[name]) for name in names]
    assert len({item.pk for item in items}) == 3
    assert next_item(project=project, by=people["annotator"]) is None
    assert {str(item.held_by) for item in leases(project)} == {"bob", "cy", "a-owner"}
    said = nothing_left(project, people["annotator"])
    assert said == "Nothing is left for you: 3 are being reviewed by others just now."


def test_who_asks_again_is_given_what_they_hold_with_its_lease_renewed(
    project: Project, stage: Stage, bob: User
) -> None:
    first = given(project, bob)
    ReviewItem.objects.filter(pk=first.pk).update(lease_expires_at=Now() + timedelta(seconds=5))
    again = given(project, bob)
    assert (again.pk, again.lease) == (first.pk, first.lease)
    assert again.lease_expires_at > first.lease_expires_at


def test_a_lease_that_ran_out_lets_the_rewrite_go_to_another(
    project: Project, run: Run, bob: User, cy: User
) -> None:
    desk(run, 1)
    item = given(project, bob)
    assert next_item(project=project, by=cy) is None
    expire(item)
    taken = given(project, cy)
    assert taken.pk == item.pk
    assert taken.lease != item.lease


def test_a_lease_can_be_renewed_and_given_back(
    project: Project, stage: Stage, bob: User, cy: User
) -> None:
    item = given(project, bob)
    assert item.lease is not None
    expire(item)
    assert renew_lease(item=item, by=bob, lease=item.lease) is not None
    with pytest.raises(Held, match="no longer hold"):
        renew_lease(item=item, by=cy, lease=item.lease)
    with pytest.raises(Held):
        renew_lease(item=item, by=bob, lease=uuid4())
    release_item(item=item, by=cy, lease=item.lease)
    assert leases(project)
    release_item(item=item, by=bob, lease=item.lease)
    release_item(item=item, by=bob, lease=item.lease)
    assert not leases(project)
    assert given(project, cy).pk == item.pk


def test_nobody_is_given_a_rewrite_twice(project: Project, run: Run, bob: User, cy: User) -> None:
    desk(run, 3, overlap=2)
    for user in (bob, cy):
        seen = []
        while item := next_item(project=project, by=user):
            seen.append(item.pk)
            review(item, user)
        assert len(seen) == len(set(seen)) == 3
        stage = Stage.objects.get(run=run, kind="review")
        assert stage.done == (3 if user is cy else 0)


def test_begun_rewrites_come_before_fresh_ones(
    project: Project, run: Run, bob: User, cy: User
) -> None:
    desk(run, 6, overlap=2)
    first = given(project, bob)
    review(first, bob)
    assert given(project, cy).pk == first.pk


def test_a_skipped_rewrite_goes_to_others(project: Project, run: Run, bob: User, cy: User) -> None:
    desk(run, 1)
    item = given(project, bob)
    decide_rewrite(item=item, by=bob, answer=SKIP, lease=item.lease)
    assert next_item(project=project, by=bob) is None
    assert "1 that you have seen wait for somebody else" in nothing_left(project, bob)
    assert given(project, cy).pk == item.pk


def test_a_given_rewrite_can_be_taken_in_place_of_the_one_held(
    project: Project, stage: Stage, bob: User, cy: User
) -> None:
    held = given(project, bob)
    last = stage.review_items.order_by("-pk")[0]
    assert take_item(item=last, by=bob).pk == last.pk
    assert [item.pk for item in leases(project)] == [last.pk]
    assert take_item(item=held, by=cy).pk == held.pk
    with pytest.raises(Held, match="somebody else"):
        take_item(item=held, by=bob)
    review(take_item(item=last, by=bob), bob)
    with pytest.raises(Held, match="takes no more"):
        take_item(item=last, by=cy)


def test_assigned_rewrites_come_first_for_one_and_last_for_others_but_are_not_forced(
    project: Project, stage: Stage, bob: User, cy: User, judge: User
) -> None:
    first, second, third = stage.review_items.order_by("pk")
    these = stage.review_items.exclude(pk=second.pk)
    assert assign_items(stage=stage, items=these, to=bob, by=judge) == 2
    assert given(project, cy).pk == second.pk
    review(second, cy)
    assert given(project, bob).pk == first.pk
    assert given(project, cy).pk == third.pk


def test_an_assignment_ends_with_its_review(
    project: Project, run: Run, bob: User, judge: User
) -> None:
    stage = desk(run, 2, overlap=2)
    item = stage.review_items.order_by("pk")[1]
    assign_items(stage=stage, items=stage.review_items.filter(pk=item.pk), to=bob, by=judge)
    review(given(project, bob), bob)
    item.refresh_from_db()
    assert item.assigned_to is None
    assert item.state == "pending"


def test_who_may_not_review_cannot_be_assigned_anything(
    project: Project, stage: Stage, judge: User, bob: User
) -> None:
    bob.memberships.update(role=Role.VIEWER)
    with pytest.raises(MoraError, match="cannot be assigned"):
        assign_items(stage=stage, items=stage.review_items.all(), to=bob, by=judge)


def test_who_holds_a_rewrite_of_a_run_that_was_cancelled_is_given_one_of_another(
    project: Project, stage: Stage, other: Run, bob: User
) -> None:
    given(project, bob)
    later = desk(other, 1)
    Stage.objects.filter(pk=stage.pk).update(status="cancelled")
    assert given(project, bob).stage_id == later.pk


def test_one_can_ask_for_a_rewrite_of_one_stage(
    project: Project, stage: Stage, other: Run, bob: User
) -> None:
    later = desk(other, 1)
    assert given(project, bob).stage_id == stage.pk
    item = next_item(project=project, by=bob, stage=later)
    assert item is not None and item.stage_id == later.pk
    assert len(leases(project)) == 1


@pytest.mark.parametrize("who", ["viewer", "outsider"])
def test_who_may_not_review_is_given_nothing(
    project: Project, stage: Stage, people: dict[str, User], who: str
) -> None:
    with pytest.raises(Denied):
        next_item(project=project, by=people[who])
    with pytest.raises(Denied):
        take_item(item=stage.review_items.all()[0], by=people[who])


def test_counters_say_what_is_left_for_whom(
    project: Project, run: Run, bob: User, cy: User
) -> None:
    stage = desk(run, 4, overlap=2)
    for _ in range(3):
        review(given(project, bob), bob)
    review(given(project, cy), cy)
    rows = {t.reviewer.name: t for t in stage.tallies.select_related("reviewer")}
    assert (rows["bob"].given, rows["bob"].open) == (3, 2)
    assert (rows["cy"].given, rows["cy"].open) == (1, 0)
    stage.refresh_from_db()
    left = Stage.objects.filter(pk=stage.pk).values_list(F("total") - F("done"), flat=True)
    assert (stage.done, list(left)) == (1, [3])
