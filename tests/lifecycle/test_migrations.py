"""Migrations with a run in flight: backwards by one and forwards again loses nothing of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from alignment.models import Chunk, Run
from tests.builders import make_run, ready_project, running_stage
from workers import claims

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def newest_afterwards(transactional_db: None) -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


def migrations() -> list[str]:
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(name for app, name in applied if app == "alignment")


def test_a_run_in_flight_outlives_a_step_back_and_forth(owner: User, tmp_path: Path) -> None:
    run = make_run(ready_project(str(tmp_path)), owner)
    stage = running_stage(run, 3)
    held = claims.claim(stage.pk, "host/1/1")
    assert held is not None
    before = list(Chunk.objects.order_by("pk").values())
    stages = list(run.stages.values_list("pk", "status", "fingerprint", "config"))
    newest = migrations()
    call_command("migrate", "alignment", newest[-2], verbosity=0)
    assert migrations() == newest[:-1]
    call_command("migrate", verbosity=0)
    assert migrations() == newest
    assert list(Chunk.objects.order_by("pk").values()) == before
    run = Run.objects.get(pk=run.pk)
    assert list(run.stages.values_list("pk", "status", "fingerprint", "config")) == stages
    assert claims.renew(held)
    assert claims.claim(stage.pk, "host/1/1") is not None
