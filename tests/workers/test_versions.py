"""A stage's rows are all of one version of its kind's code, whatever is upgraded in between."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.method import plan
from alignment.models import Chunk, LogLine, Rollout, Run, Sampling, Stage, Status
from alignment.services import runs
from tests.builders import make_run, ready_project, running_stage
from workers import claims, sweeper


@pytest.fixture
def stage(db: None, owner: User, tmp_path: Path) -> Stage:
    """A running first stage of two chunks, one claimed, with a rollout and a line of log."""
    run = make_run(ready_project(str(tmp_path)), owner)
    stage = running_stage(run, 2)
    policy = run.project.policies.get()
    sampling = Sampling.objects.create(
        project=run.project, stage=stage, policy=policy, engine="transformers"
    )
    prompt = run.project.prompt_sets.get(name="held-out").prompts.first()
    Rollout.objects.create(
        sampling=sampling, prompt=prompt, index=0, text="old", finish_reason="stop"
    )
    LogLine.objects.create(stage=stage, text="loaded")
    assert claims.claim(stage.pk, "host/1/1") is not None
    return stage


@pytest.fixture
def upgraded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setitem(plan.VERSIONS, stage.kind, stage.version + 1)
    return stage


def let_pass(stage: Stage) -> None:
    """The old worker is gone, and so is the time in which it might have come back."""
    long_ago = Now() - timedelta(minutes=1)
    Chunk.objects.filter(stage=stage).update(claimed_at=long_ago)
    Stage.objects.filter(pk=stage.pk).update(queued_at=long_ago)
    Chunk.objects.filter(stage=stage, state="claimed").update(state="open", lease_expires_at=None)


def test_a_worker_claims_nothing_that_another_version_began(upgraded: Stage) -> None:
    assert claims.claim(upgraded.pk, "host/2/2") is None
    assert claims.next_stage(upgraded.queue) is None


def test_an_old_worker_that_is_still_there_finishes_what_it_began(upgraded: Stage) -> None:
    sweeper.start_over_outdated()
    upgraded.refresh_from_db()
    assert (upgraded.status, Rollout.objects.count()) == (Status.RUNNING, 1)


def test_what_no_old_worker_finishes_begins_anew(upgraded: Stage) -> None:
    let_pass(upgraded)
    before = upgraded.fingerprint
    sweeper.start_over_outdated()
    upgraded.refresh_from_db()
    assert (upgraded.status, upgraded.version) == (Status.QUEUED, plan.VERSIONS[upgraded.kind])
    assert upgraded.fingerprint != before
    assert not Rollout.objects.exists()
    assert not upgraded.chunks.exists()
    assert upgraded.log_lines.get().text == "loaded"
    assert Run.objects.get(pk=upgraded.run_id).status != Status.FAILED


def test_what_was_rolled_back_begins_anew_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = stage.version
    Stage.objects.filter(pk=stage.pk).update(version=ours + 1)
    assert claims.claim(stage.pk, "host/2/2") is None
    let_pass(stage)
    sweeper.start_over_outdated()
    stage.refresh_from_db()
    assert (stage.status, stage.version) == (Status.QUEUED, ours)


def test_a_retry_keeps_no_finished_chunk_of_another_version(upgraded: Stage, owner: User) -> None:
    let_pass(upgraded)
    upgraded.refresh_from_db()
    lifecycle.fail(upgraded, "for a test")
    runs.retry_run(run=Run.objects.get(pk=upgraded.run_id), by=owner)
    upgraded.refresh_from_db()
    assert (upgraded.status, upgraded.version) == (Status.QUEUED, plan.VERSIONS[upgraded.kind])
    assert not Rollout.objects.exists()


def test_a_stage_of_our_own_version_is_left_alone(stage: Stage) -> None:
    let_pass(stage)
    sweeper.start_over_outdated()
    stage.refresh_from_db()
    assert (stage.status, Rollout.objects.count()) == (Status.RUNNING, 1)
