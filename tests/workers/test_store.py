"""What engines give goes into the database whole, whatever it holds."""

import pytest
from django.db import connection, transaction

from alignment.models import Policy, Prompt, Rollout, Sampling
from tests.builders import ready_project
from workers import store


def test_what_no_database_can_hold_of_a_completion_has_a_mark_in_its_place(db: None) -> None:
    project = ready_project("model")
    sampling = Sampling.objects.create(
        project=project, policy=Policy.objects.get(project=project), engine="transformers"
    )
    prompt = Prompt.objects.order_by("pk")[0]
    store.write_rollouts(sampling.pk, [(prompt.pk, 0, "a\0b\\0 \t\n\ud800", 3, "stop", 7, False)])
    assert Rollout.objects.get().text == "a\N{REPLACEMENT CHARACTER}b\\0 \t\n?"


@pytest.mark.django_db(transaction=True)
def test_rows_inserted_again_after_a_rollback_take_ids_that_nobody_else_will_get() -> None:
    project = ready_project("model")
    sampling = Sampling.objects.create(
        project=project, policy=Policy.objects.get(project=project), engine="transformers"
    )
    prompt = Prompt.objects.order_by("pk")[0]
    rows = [Rollout(sampling=sampling, prompt=prompt, index=i, text="a") for i in range(3)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM alignment_rollout_id_seq")
        (before,) = cursor.fetchone()
    with pytest.raises(RuntimeError), transaction.atomic():
        store.insert(rows)
        raise RuntimeError("the connection is lost")
    with connection.cursor() as cursor:
        # What a crash does to a sequence that moved in a transaction that was not committed.
        cursor.execute("SELECT setval('alignment_rollout_id_seq', %s)", [before])
    store.insert(rows)
    others = [Rollout(sampling=sampling, prompt=prompt, index=i, text="b") for i in range(3, 6)]
    store.insert(others)
    assert sorted(Rollout.objects.values_list("index", flat=True)) == list(range(6))
