"""Reviews outlive the migration to the review desk, forwards and backwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from alignment.models import Review, ReviewItem, Stage
from alignment.services.answers import Answer
from alignment.services.queue import reviewer_of
from alignment.services.reviews import adjudicate, decide_rewrite
from tests.builders import make_run, open_review, ready_project
from tests.review.conftest import APPROVE, FLAG, REJECT, edit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def newest_afterwards(transactional_db: None) -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


def test_reviews_outlive_a_step_back_and_forth(owner: User, tmp_path: Path) -> None:
    stage = open_review(make_run(ready_project(str(tmp_path)), owner), 5)
    items = list(stage.review_items.select_related("stage__run__project").order_by("pk"))
    answers: list[Answer] = [APPROVE, REJECT, edit("Mend it how?"), FLAG]
    for item, answer in zip(items, answers, strict=False):
        decide_rewrite(item=item, by=owner, answer=answer)
    adjudicate(item=items[0], by=owner, answer=REJECT)

    call_command("migrate", "alignment", "0001", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT decision, edited_text, reviewer_id FROM alignment_review ORDER BY item_id"
        )
        kept = cursor.fetchall()
    assert kept == [
        ("reject", "", owner.pk),
        ("reject", "", owner.pk),
        ("edit", "Mend it how?", owner.pk),
    ]
    call_command("migrate", verbosity=0)
    me = reviewer_of(stage.run.project, owner)
    assert set(Review.objects.values_list("reviewer", flat=True)) == {me.pk}
    states = list(ReviewItem.objects.order_by("pk").values_list("state", "seen_by"))
    seen = [me.pk]
    assert states == [
        ("rejected", seen),
        ("rejected", seen),
        ("edited", seen),
        ("pending", []),
        ("pending", []),
    ]
    tally = Stage.objects.get(pk=stage.pk).tallies.get()
    assert (tally.reject, tally.edit, tally.open) == (2, 1, 0)
