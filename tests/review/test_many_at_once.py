"""Several people, tabs and clicks at the same instant, each on a connection of its own."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import F
from pytest_django import Settings

from alignment.models import Project, Review, ReviewItem, Role, Run, Stage
from alignment.review_filters import ReviewFilter
from alignment.services import imported_reviews
from alignment.services.bulk import apply_bulk, preview_bulk
from alignment.services.queue import Held, locked, next_item, take_item
from alignment.services.reviews import adjudicate, decide_rewrite, undo_review
from tests.builders import make_run, open_review, ready_project
from tests.review.conftest import APPROVE, REJECT, member
from workers.sweeper import close_reviews

PEOPLE = 6


@pytest.fixture
def project(transactional_db: None, settings: Settings, tmp_path: Path) -> Project:
    settings.ARTIFACTS = tmp_path
    (tmp_path / "model").mkdir()
    return ready_project("model")


@pytest.fixture
def users(project: Project) -> list[User]:
    return [member(project, f"p{i}", Role.OWNER) for i in range(PEOPLE)]


@pytest.fixture
def run(project: Project, users: list[User]) -> Run:
    return make_run(project, users[0], review={"mode": "required"})


@pytest.fixture
def at_once() -> Iterator[Callable[..., list[Any]]]:
    """Call functions at the same instant, each in a thread; what they gave, or raised."""

    def call(*functions: Callable[[], Any]) -> list[Any]:
        found: list[Any] = [None] * len(functions)
        start = threading.Barrier(len(functions))

        def work(number: int) -> None:
            start.wait()
            try:
                found[number] = functions[number]()
            except Exception as error:
                found[number] = error
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(functions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return found

    yield call


def test_no_two_people_are_given_the_same_rewrite(
    project: Project, run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    stage = open_review(run, PEOPLE * 4, overlap=1)
    given: list[int] = []
    while True:
        calls = [lambda user=user: next_item(project=project, by=user) for user in users]
        items = [item for item in at_once(*calls) if item is not None]
        assert all(isinstance(item, ReviewItem) for item in items), items
        if not items:
            break
        given += [item.pk for item in items]
        reviews = [
            lambda item=item, user=user: decide_rewrite(
                item=item, by=user, answer=APPROVE, lease=item.lease
            )
            for item in items
            for user in users
            if item.held_by.user_id == user.pk
        ]
        assert all(isinstance(found, Review) for found in at_once(*reviews))
    assert sorted(given) == sorted(stage.review_items.values_list("pk", flat=True))
    stage.refresh_from_db()
    assert (stage.done, Review.objects.count()) == (PEOPLE * 4, PEOPLE * 4)
    assert stage.closes_at is not None


def test_people_who_review_all_at_overlap_never_deadlock_and_lose_nothing(
    project: Project, run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    stage = open_review(run, 15, overlap=3)

    def work(user: User) -> int:
        count = 0
        while True:
            item = next_item(project=project, by=user)
            if item is None:
                return count
            decide_rewrite(item=item, by=user, answer=APPROVE, lease=item.lease)
            count += 1

    # Who finds the last ones held by others has to come again.
    total = 0
    for _ in range(10):
        found = at_once(*(lambda user=user: work(user) for user in users))
        assert all(isinstance(count, int) for count in found), found
        total += sum(found)
        if total == 45:
            break
    stage.refresh_from_db()
    assert (total, stage.done, Review.objects.count()) == (45, 15, 45)
    assert sum(t.approve for t in stage.tallies.all()) == 45
    assert sum(t.open for t in stage.tallies.all()) == 0
    pairs = Review.objects.values_list("item", "reviewer")
    assert len(set(pairs)) == 45


def test_two_tabs_of_one_person_are_given_the_same_rewrite(
    project: Project, run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    open_review(run, 8)
    for _ in range(5):
        tabs = at_once(*[lambda: next_item(project=project, by=users[0])] * 4)
        assert len({(tab.pk, tab.lease) for tab in tabs}) == 1
        decide_rewrite(item=tabs[0], by=users[0], answer=APPROVE, lease=tabs[0].lease)


def test_a_double_click_is_recorded_once(
    project: Project, run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    open_review(run, 3)
    for _ in range(3):
        item = next_item(project=project, by=users[0])
        assert item is not None
        click = lambda item=item: decide_rewrite(  # noqa: E731
            item=item, by=users[0], answer=APPROVE, lease=item.lease
        )
        found = at_once(*[click] * 4)
        assert len({review.pk for review in found}) == 1
    assert Review.objects.count() == 3


def test_of_two_who_submit_the_same_rewrite_one_is_told(
    run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    stage = open_review(run, 1)
    item = stage.review_items.select_related("stage__run__project")[0]
    found = at_once(
        *(
            lambda user=user: decide_rewrite(item=item, by=user, answer=APPROVE)
            for user in users[:3]
        )
    )
    assert sorted(type(one).__name__ for one in found) == ["Held", "Held", "Review"]
    assert Review.objects.count() == 1


def test_of_many_who_take_or_adjudicate_one_rewrite_one_does(
    run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    stage = open_review(run, 1)
    item = stage.review_items.select_related("stage__run__project")[0]
    taken = at_once(*(lambda user=user: take_item(item=item, by=user) for user in users))
    assert sum(isinstance(one, ReviewItem) for one in taken) == 1
    assert sum(isinstance(one, Held) for one in taken) == PEOPLE - 1
    ReviewItem.objects.update(held_by=None)
    found = at_once(
        *(lambda user=user: adjudicate(item=item, by=user, answer=REJECT) for user in users)
    )
    assert sum(isinstance(one, Review) for one in found) == 1
    assert Review.objects.filter(adjudicates=True).count() == 1


def test_a_decision_taken_back_at_the_last_moment_wins_or_is_told(
    run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    stage = open_review(run, 2)
    items = list(stage.review_items.select_related("stage__run__project"))
    for item in items:
        decide_rewrite(item=item, by=users[0], answer=APPROVE)
    Stage.objects.filter(pk=stage.pk).update(closes_at="2020-01-01T00:00:00Z")
    back, _ = at_once(lambda: undo_review(item=items[0], by=users[0]), close_reviews)
    stage.refresh_from_db()
    items[0].refresh_from_db()
    if isinstance(back, ReviewItem):
        assert (stage.status, items[0].state) == ("waiting", "pending")
    else:
        assert "this review is closed" in str(back)
        assert (stage.status, items[0].state) == ("succeeded", "approved")


def test_reviews_and_a_bulk_decision_at_once_decide_each_rewrite_once(
    project: Project, run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    stage = open_review(run, 30)
    bulk = preview_bulk(chosen=ReviewFilter(stage=stage.pk), by=users[0], answer=REJECT)

    def work(user: User) -> int:
        count = 0
        while item := next_item(project=project, by=user):
            try:
                decide_rewrite(item=item, by=user, answer=APPROVE, lease=item.lease)
                count += 1
            except Held:
                pass
        return count

    *counts, applied = at_once(
        *(lambda user=user: work(user) for user in users[1:4]),
        lambda: apply_bulk(token=bulk.token, by=users[0]).applied,
    )
    assert sum(counts) + applied == 30, (counts, applied)
    stage.refresh_from_db()
    assert (stage.done, Review.objects.count()) == (30, 30)


def wait_for_a_lock() -> None:
    """Until another connection waits for a row."""
    for _ in range(200):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_stat_clear_snapshot()"
            )  # else as the transaction first saw it
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone() != (0,):
                return
        time.sleep(0.05)
    raise AssertionError("nobody waits")


@pytest.fixture
def file(run: Run, tmp_path: Path) -> Path:
    """Somebody's approvals of four rewrites."""
    stage = open_review(run, 4)
    keys = stage.review_items.order_by("pk").values_list("prompt__key", flat=True)
    rows = [{"rewrite_key": key, "reviewer": "dee", "decision": "approve"} for key in keys]
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_an_import_in_parts_and_a_submit_wait_for_each_other_in_one_order(
    project: Project,
    run: Run,
    users: list[User],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_once: Callable[..., list[Any]],
) -> None:
    monkeypatch.setattr(imported_reviews, "PART", 1)
    stage = run.stages.get(kind="review", round=1)
    item = stage.review_items.select_related("stage__run__project").order_by("pk")[2]

    is_locked = threading.Event()

    def submit() -> None:
        with transaction.atomic():
            locked(item.pk)
            is_locked.set()
            wait_for_a_lock()
            decide_rewrite(item=item, by=users[0], answer=REJECT)

    def bring_in() -> Any:
        is_locked.wait(30)
        return imported_reviews.import_reviews(
            run=run, path=file, columns={}, by=None, skip_bad=True
        )

    told, done = at_once(submit, bring_in)
    assert told is None, told
    assert (done.rows, done.problems.total) == (3, 1), done
    assert done.problems.first[0].reason == "its rewrite is rejected already"
    stage.refresh_from_db()
    assert (stage.done, Review.objects.count()) == (4, 4)
    assert {t.reviewer.name: t.approve for t in stage.tallies.all()} == {"dee": 3, "p0": 0}


def test_an_import_that_the_database_breaks_off_says_so(
    project: Project, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = run.stages.get(kind="review", round=1)
    ids = list(stage.review_items.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            locked(ids[0])
            held.set()
            done.wait(30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        with pytest.raises(CommandError, match=r"broke the import off .*lock timeout"):
            call_command("import_reviews", str(file), "--project", "sandbox", "--run", "run")
    finally:
        done.set()
        thread.join(30)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0")
    assert not Review.objects.exists()


def test_one_lease_sent_for_two_rewrites_at_once_decides_one_of_them(
    run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    stage = open_review(run, 12)
    for round_ in range(6):
        held = next_item(project=run.project, by=users[0])
        assert held is not None
        other = stage.review_items.filter(seen_by=[]).exclude(pk=held.pk)[0]
        calls = [
            lambda item=item, lease=held.lease: decide_rewrite(
                item=item, by=users[0], answer=APPROVE, lease=lease
            )
            for item in (held, other)
        ]
        (refused,) = [one for one in at_once(*calls) if isinstance(one, Exception)]
        assert isinstance(refused, Held) and "the lease of another rewrite" in str(refused)
        assert Review.objects.count() == round_ + 1


def test_taking_back_waits_for_a_submit_and_not_the_other_way_round(
    run: Run, users: list[User], at_once: Callable[..., list[Any]]
) -> None:
    stage = open_review(run, 2)
    first = next_item(project=run.project, by=users[0])
    assert first is not None
    decide_rewrite(item=first, by=users[0], answer=APPROVE)
    second = next_item(project=run.project, by=users[0])
    assert second is not None
    begun = threading.Event()

    def submit() -> None:
        """Locks as a submit of the second does: the rewrite, a while later its stage."""
        with transaction.atomic():
            locked(second.pk)
            begun.set()
            time.sleep(0.5)
            Stage.objects.filter(pk=stage.pk).update(done=F("done"))

    def undo() -> ReviewItem:
        begun.wait()
        return undo_review(item=first, by=users[0])

    submitted, undone = at_once(submit, undo)
    assert submitted is None
    assert undone.held_by.user_id == users[0].pk
