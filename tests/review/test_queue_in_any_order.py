"""The queue under any order of events: reviewers who come, go, double-click, let leases run out and
change their minds, adjudicators, and bulk decisions. After each step the record is compared with
what was accepted: no decision is lost or doubled, and every count is true.

MORA_STEPS=10000 is the long form.
"""

import os
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models.functions import Now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from alignment.models import BulkDecision, Project, Review, ReviewItem, Role, Stage
from alignment.review_filters import ReviewFilter
from alignment.reviewing import resolve
from alignment.services.answers import Answer, BadAnswer, checked
from alignment.services.bulk import apply_bulk, preview_bulk, undo_bulk
from alignment.services.drafts import answer_of
from alignment.services.queue import Held, next_item, release_item, renew_lease
from alignment.services.reviews import adjudicate, decide_rewrite, undo_review
from tests.builders import make_run, open_review
from tests.review.conftest import APPROVE, FLAG, REJECT, SKIP, edit, member

STEPS = int(os.environ.get("MORA_STEPS", "200"))
STEPS_EACH = 50
ANSWERS = [APPROVE, APPROVE, REJECT, edit("Mend it how?"), edit("Mend it why?"), SKIP, FLAG]
people = st.integers(0, 3)
items = st.integers(0, 4)


class Desk(RuleBasedStateMachine):
    project: ClassVar[Project]
    users: ClassVar[list[User]]
    stages: ClassVar[int] = 0

    @initialize(overlap=st.sampled_from([2, 1, 3]), rewrites=st.integers(1, 5))
    def open(self, overlap: int, rewrites: int) -> None:
        Desk.stages += 1
        name = f"run {Desk.stages}"
        run = make_run(self.project, self.users[3], name=name, review={"mode": "required"})
        self.stage = open_review(run, rewrites, overlap=overlap)
        self.items = list(self._items())
        self.leases: list[tuple[int, ReviewItem, UUID]] = []
        self.accepted: dict[int, tuple[str, int, str]] = {}
        self.bulk: BulkDecision | None = None

    def _items(self) -> Any:
        found = self.stage.review_items.select_related("stage__run__project", "prompt__parent")
        return found.order_by("pk")

    def _fresh(self, item: ReviewItem) -> ReviewItem:
        return self._items().get(pk=item.pk)  # type: ignore[no-any-return]

    def _open_to(self, who: int) -> set[int]:
        """Rewrites that the person could be given, found by looking at each."""
        now = Stage.objects.annotate(now=Now()).values_list("now", flat=True)[0]
        user = self.users[who]
        seen = set(
            Review.objects.filter(
                withdrawn_at=None, adjudicates=False, reviewer__user=user
            ).values_list("item", flat=True)
        )
        return {
            item.pk
            for item in self._items().select_related("held_by")
            if item.state == "pending"
            and item.pk not in seen
            and (
                item.held_by is None
                or item.held_by.user_id == user.pk
                or item.lease_expires_at <= now
            )
        }

    def _accept(self, review: Review) -> None:
        """Note a review that was accepted; one that was accepted before is the same one."""
        said = (review.reviewer.name, review.item_id, review.decision)
        assert self.accepted.setdefault(review.pk, said) == said

    @rule(who=people)
    def come(self, who: int) -> None:
        possible = self._open_to(who)
        item = next_item(project=self.project, by=self.users[who], stage=self.stage)
        if item is None:
            assert not possible
            return
        assert item.pk in possible
        assert item.lease is not None
        self.leases.append((who, item, item.lease))

    @rule(who=people, answer=st.sampled_from(ANSWERS))
    def review(self, who: int, answer: Answer) -> None:
        """What most people do most of the time."""
        self.come(who)
        if self.leases and self.leases[-1][0] == who:
            self.submit(answer, 1000)

    @precondition(lambda self: self.leases)
    @rule(answer=st.sampled_from(ANSWERS), which=st.integers(0, 1000))
    def submit(self, answer: Answer, which: int) -> None:
        """Under the latest lease, or any that there ever was."""
        newest = which >= 300
        who, item, lease = self.leases[-1 if newest else which % len(self.leases)]
        before = Review.objects.filter(lease=lease).first()
        again = before is not None and _says(before, answer)
        possible = before is None and item.pk in self._open_to(who)
        try:
            review = decide_rewrite(item=item, by=self.users[who], answer=answer, lease=lease)
        except (Held, BadAnswer):
            assert not again and not possible
            return
        assert review == before if again else possible
        self._accept(review)

    @precondition(lambda self: self.leases)
    @rule(which=st.integers(0, 1000))
    def leave(self, which: int) -> None:
        who, item, lease = self.leases[which % len(self.leases)]
        release_item(item=item, by=self.users[who], lease=lease)

    @precondition(lambda self: self.leases)
    @rule(which=st.integers(0, 1000))
    def stay(self, which: int) -> None:
        who, item, lease = self.leases[which % len(self.leases)]
        row = self._fresh(item)
        mine = row.held_by is not None and row.held_by.user_id == self.users[who].pk
        try:
            renew_lease(item=item, by=self.users[who], lease=lease)
        except Held:
            assert not (mine and row.lease == lease and row.state == "pending")

    @rule(number=items)
    def run_out(self, number: int) -> None:
        item = self.items[number % len(self.items)]
        gone = Now() - timedelta(seconds=1)
        ReviewItem.objects.filter(pk=item.pk, lease_expires_at__gt=Now()).update(
            lease_expires_at=gone
        )

    @rule(who=people, number=items)
    def take_back(self, who: int, number: int) -> None:
        item = self.items[number % len(self.items)]
        try:
            back = undo_review(item=item, by=self.users[who])
        except Held:
            return
        if back.held_by is not None and back.held_by.user_id == self.users[who].pk:
            assert back.lease is not None
            self.leases.append((who, back, back.lease))

    @rule(number=items, answer=st.sampled_from([APPROVE, REJECT, edit("Mend it how?")]))
    def settle(self, number: int, answer: Answer) -> None:
        item = self._fresh(self.items[number % len(self.items)])
        if item.state == "disputed" or number == 0:
            try:
                self._accept(adjudicate(item=item, by=self.users[3], answer=answer))
            except Held:
                assert item.state != "disputed"

    @rule(answer=st.sampled_from([APPROVE, REJECT]), rare=st.integers(0, 3))
    def decide_all(self, answer: Answer, rare: int) -> None:
        if rare:
            return
        chosen = ReviewFilter(stage=self.stage.pk)
        try:
            bulk = preview_bulk(chosen=chosen, by=self.users[3], answer=answer)
        except BadAnswer:
            return
        self.bulk = apply_bulk(token=bulk.token, by=self.users[3])
        reviews = list(self.bulk.reviews.select_related("reviewer"))
        assert len(reviews) == self.bulk.applied
        for review in reviews:
            self._accept(review)

    @precondition(lambda self: self.bulk)
    @rule()
    def undo_all(self) -> None:
        assert self.bulk is not None
        undo_bulk(token=self.bulk.token, by=self.users[3])
        assert not self.bulk.reviews.filter(withdrawn_at=None).exists()
        self.bulk = None

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        found = Review.objects.filter(item__stage=self.stage)
        rows = found.values_list("pk", "reviewer__name", "item_id", "decision")
        assert {pk: (name, item, said) for pk, name, item, said in rows} == self.accepted

    @invariant()
    def every_state_follows_from_the_standing_reviews(self) -> None:
        done = disputed = 0
        tallies: Counter[tuple[int, str]] = Counter()
        for item in self._items():
            standing = list(item.reviews.filter(withdrawn_at=None))
            assert len({(r.reviewer_id, r.adjudicates) for r in standing}) == len(standing)
            assert sum(r.adjudicates for r in standing) <= 1
            said = resolve(item.prompt.text, item.needed, standing)
            assert item.state == said.state
            assert (item.outcome and item.outcome.text) == said.text
            given = [r for r in standing if not r.adjudicates]
            assert item.seen_by == sorted(r.reviewer_id for r in given)
            done += item.state in ("approved", "edited", "rejected")
            disputed += item.state == "disputed"
            for review in standing:
                tallies[
                    review.reviewer_id, "adjudicated" if review.adjudicates else review.decision
                ] += 1
            for review in given if item.state == "pending" else ():
                tallies[review.reviewer_id, "open"] += 1
        stage = Stage.objects.get(pk=self.stage.pk)
        assert (stage.done, stage.disputed) == (done, disputed)
        assert (stage.closes_at is not None) == (done == stage.total) or not self.accepted
        columns = ("approve", "edit", "reject", "skip", "flag", "adjudicated", "open")
        kept = {
            (tally.reviewer_id, name): getattr(tally, name)
            for tally in stage.tallies.all()
            for name in columns
            if getattr(tally, name)
        }
        assert kept == +tallies

    @invariant()
    def a_person_holds_one_rewrite_at_most(self) -> None:
        held = ReviewItem.objects.filter(lease_expires_at__gt=Now(), held_by__project=self.project)
        people = Counter(held.values_list("held_by", flat=True))
        assert all(times == 1 for times in people.values())


def _says(review: Review, answer: Answer) -> bool:
    """Whether the review stands, and the answer would be recorded as it was."""
    with suppress(BadAnswer):
        return review.withdrawn_at is None and answer_of(review) == checked(answer, review.item)
    return False


def test_no_decision_is_lost_or_doubled(project: Project) -> None:
    Desk.project = project
    Desk.users = [member(project, name, Role.ANNOTATOR) for name in ("ann", "ben", "cat")]
    Desk.users.append(member(project, "dan", Role.OWNER))
    run_state_machine_as_test(
        Desk,
        settings=settings(
            max_examples=max(1, STEPS // STEPS_EACH),
            stateful_step_count=STEPS_EACH,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
