"""Migrations with a run in flight: backwards by one and forwards again loses nothing of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from alignment.models import Chunk, Judge, Policy, Prompt, Rollout, Run, Sampling, Score, Stage
from tests.builders import make_run, ready_project, running_stage
from tests.conftest import database_url
from tests.environment import BASE
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


def test_what_was_scored_before_records_the_versions_of_its_judges(
    owner: User, tmp_path: Path
) -> None:
    run = make_run(ready_project(str(tmp_path)), owner)
    sample, score = run.stages.filter(kind__in=("sample", "score")).order_by("position")
    Stage.objects.filter(pk=score.pk).update(status="succeeded", facts={"left_out": {}})
    sampling = Sampling.objects.create(
        project=run.project, stage=sample, policy=Policy.objects.get(), engine="transformers"
    )
    prompt = Prompt.objects.filter(prompt_set__name="mixed").first()
    rollout = Rollout.objects.create(
        sampling=sampling, prompt=prompt, index=0, text="t", finish_reason="stop", tokens=5
    )
    for judge, version in [("helpful", 1), ("helpful", 2), ("harmless", 1), ("truthful-eval", 3)]:
        row = Judge.objects.get(name=f"sandbox-{judge}")
        Score.objects.create(rollout=rollout, judge=row, judge_version=version, raw=1)
    Judge.objects.exclude(name="sandbox-harmless").update(version=3)
    call_command("migrate", "alignment", "0009", verbosity=0)
    call_command("migrate", verbosity=0)
    score.refresh_from_db()
    assert score.facts == {"left_out": {}, "versions": {"sandbox-helpful": 2}}


def test_completions_imported_before_refusals_were_told_get_theirs(
    owner: User, tmp_path: Path
) -> None:
    project = ready_project(str(tmp_path))
    prompt = Prompt.objects.filter(prompt_set__name="mixed").first()
    policy = Policy.objects.get()
    texts = ["I'm sorry, but I can't help with that.", "Stir it well.", ""]
    for engine in ("imported", "transformers"):
        sampling = Sampling.objects.create(project=project, policy=policy, engine=engine)
        for index, text in enumerate(texts):
            Rollout.objects.create(sampling=sampling, prompt=prompt, index=index, text=text)
    looked = Sampling.objects.create(project=project, policy=policy, engine="vllm")
    for index, text in enumerate(["Stir it.", " \n"]):
        no = None if index else False
        Rollout.objects.create(sampling=looked, prompt=prompt, index=index, text=text, refused=no)
    call_command("migrate", "alignment", "0013", verbosity=0)
    call_command("migrate", verbosity=0)

    def told(engine: str) -> list[bool | None]:
        own = Rollout.objects.filter(sampling__engine=engine).order_by("index")
        return list(own.values_list("refused", flat=True))

    assert told("imported") == [True, False, True]
    assert told("transformers") == [None] * 3, "nobody looked"
    assert told("vllm") == [False, True]


def test_two_consoles_that_start_at_once_both_find_the_database_migrated() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS empty_at_first")
        cursor.execute("CREATE DATABASE empty_at_first")
    whole = database_url()
    name = connection.settings_dict["NAME"]
    env = {**os.environ, "DATABASE_URL": whole.replace(f"/{name}?", "/empty_at_first?")}
    argv = [sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"]
    both = [subprocess.Popen(argv, cwd=BASE, env=env, stderr=subprocess.PIPE) for _ in range(2)]
    told = [process.communicate(timeout=120)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE empty_at_first")
