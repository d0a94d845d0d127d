"""A policy's results are of its own weights: they are checked against what is recorded."""

import shutil
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from alignment import lifecycle
from alignment.fingerprints import fingerprint_of
from alignment.method.errors import MoraError
from alignment.models import Policy, Project, Run, Stage, Status
from tests.builders import make_run, ready_project, write_weights
from workers import specs
from workers.engines.folders import fingerprint

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path, settings: Settings) -> Project:
    settings.ARTIFACTS = tmp_path
    settings.MODEL_ROOTS = [tmp_path]
    return ready_project("start")


def started(run: Run, upto: str) -> list[Stage]:
    """The run's stages in order, those before the first of a kind ended."""
    stages = list(run.stages.select_related("run__project").order_by("position"))
    at = next(i for i, stage in enumerate(stages) if stage.kind == upto)
    for stage in stages[:at]:
        stage.status, stage.fingerprint = Status.SUCCEEDED, f"{stage.position}"
        stage.save()
    return stages[: at + 1]


PARAMS = {"engine": "transformers", "dtype": "float32"}


def test_a_start_policys_weights_are_recorded_when_they_are_first_used(project: Project) -> None:
    policy = project.policies.get()
    specs.for_sampling(policy, PARAMS)
    assert project.policies.get().sha256 == policy.sha256 == fingerprint(policy.path)


def test_other_weights_under_a_policys_name_are_refused(project: Project) -> None:
    specs.for_sampling(project.policies.get(), PARAMS)
    weights = project.policies.get().path / "model.safetensors"
    own = weights.read_bytes()
    weights.write_bytes(b"other")
    with pytest.raises(
        MoraError, match=r"in start are not those of policy start .* another policy"
    ):
        specs.for_sampling(project.policies.get(), PARAMS)
    with pytest.raises(MoraError, match="not those of policy start"):
        specs.for_training(project.policies.get())
    weights.write_bytes(own)
    specs.for_training(project.policies.get())


def test_runs_from_two_folders_have_two_fingerprints(project: Project, owner: User) -> None:
    run = make_run(project, owner)
    other = project.policies.get().path.with_name("other")
    shutil.copytree(project.policies.get().path, other)
    write_weights(other, "model.layers.0.self_attn.v_proj.weight")
    Policy.objects.create(project=project, name="other", folder="other")
    other_run = make_run(project, owner, name="other", policy="other")
    found = {fingerprint_of(r.stages.get(round=1, kind="sample"), []) for r in (run, other_run)}
    assert len(found) == 2


@pytest.mark.parametrize("kept", [True, False])
def test_a_training_whose_weights_are_gone_is_done_again(
    project: Project, owner: User, kept: bool
) -> None:
    *before, done = started(make_run(project, owner), "train")
    shutil.copytree(project.policies.get().path, project.policies.get().path.with_name("trained"))
    Policy.objects.create(project=project, name="trained", folder="trained", stage=done)
    same = make_run(project, owner, name="same")
    done.status, done.fingerprint = Status.SUCCEEDED, fingerprint_of(done, before)
    done.save()
    *reused, again = started(same, "train")
    for stage, twin in zip(reused, before, strict=True):
        Stage.objects.filter(pk=stage.pk).update(reused_from=twin)
    if not kept:
        shutil.rmtree(Policy.objects.get(name="trained").path)
    lifecycle.advance(same)
    again.refresh_from_db()
    assert again.status == (Status.SUCCEEDED if kept else Status.QUEUED)
    assert again.reused_from == (done if kept else None)
