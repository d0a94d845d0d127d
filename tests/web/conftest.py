"""A project with a person of every role, a run in it, and rows for what pages show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from alignment.models import (
    Evaluation,
    Policy,
    Project,
    Prompt,
    ReviewItem,
    RewriteAttempt,
    Rollout,
    Run,
    Sampling,
    Score,
    Stage,
    Verdict,
)
from tests.builders import make_run, members, ready_project


@pytest.fixture
def artifacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTIFACTS = tmp_path
    (tmp_path / "model").mkdir()
    return tmp_path


@pytest.fixture
def project(db: None, artifacts: Path) -> Project:
    return ready_project("model")


@pytest.fixture
def people(project: Project) -> dict[str, User]:
    return members(project)


@pytest.fixture
def sign_in(people: dict[str, User]) -> Callable[[str], Client]:
    def client_of(who: str) -> Client:
        client = Client()
        client.force_login(people[who])
        return client

    return client_of


@pytest.fixture
def researcher(sign_in: Callable[[str], Client]) -> Client:
    return sign_in("researcher")


@pytest.fixture
def run(project: Project, people: dict[str, User]) -> Run:
    """A pending run of one round with review required."""
    return make_run(project, people["researcher"], review={"mode": "required"})


def put(stage: Stage, **columns: Any) -> Stage:
    """Set a stage's columns past the lifecycle, to show it in that state."""
    Stage.objects.filter(pk=stage.pk).update(**columns)
    stage.refresh_from_db()
    return stage


def stage_of(run: Run, kind: str, number: int = 1) -> Stage:
    return run.stages.get(kind=kind, round=number)


@pytest.fixture
def waiting(run: Run) -> Run:
    """The run, waiting for people to decide three rewrites."""
    for kind in ("sample", "score", "mine", "rewrite"):
        put(stage_of(run, kind), status="succeeded")
    put(stage_of(run, "evaluate", 0), status="succeeded")
    review = put(stage_of(run, "review"), status="waiting", total=3, unit="rewrites")
    for seed in Prompt.objects.filter(prompt_set__name="mixed").order_by("pk")[:3]:
        add_rewrite(review, seed, f"{seed.text} Say which tools I need.")
    Run.objects.filter(pk=run.pk).update(status="waiting")
    run.refresh_from_db()
    return run


def add_rewrite(review: Stage, seed: Prompt, text: str, completion: str = "Glue it.") -> ReviewItem:
    """A rewrite to review, with the verdict, the check and the rollout that its page shows."""
    run = review.run
    rewrite = Prompt.objects.create(
        prompt_set=seed.prompt_set,
        text=text,
        key=Prompt.key_of(text, seed.key),
        parent=seed,
        strategy="fuse",
        stage=stage_of(run, "rewrite"),
    )
    RewriteAttempt.objects.create(
        stage=stage_of(run, "rewrite"),
        parent=seed,
        index=0,
        reply=text,
        text=text,
        checks=[{"name": "not_empty", "passed": True, "detail": "9 words"}],
        accepted=True,
    )
    add_verdict(stage_of(run, "mine"), seed)
    sample = stage_of(run, "sample")
    sampling, _ = Sampling.objects.get_or_create(
        stage=sample,
        defaults={
            "project": run.project,
            "policy": Policy.objects.get(project=run.project, name="start"),
            "engine": "transformers",
        },
    )
    rollout = Rollout.objects.create(
        sampling=sampling, prompt=seed, index=0, text=completion, finish_reason="stop"
    )
    judge = run.project.judges.get(name="sandbox-helpful")
    Score.objects.create(rollout=rollout, judge=judge, judge_version=1, raw=2.0, reward=0.25)
    return ReviewItem.objects.create(stage=review, prompt=rewrite, needs_person=True)


def add_verdict(stage: Stage, seed: Prompt) -> Verdict:
    def curve(value: float) -> dict[str, list[float]]:
        return {"m": [1], "value": [value]}

    return Verdict.objects.create(
        stage=stage,
        prompt=seed,
        verdict="single_reward",
        mined=True,
        attained=["harmless"],
        missing=["helpful"],
        counts={"n": 8, "n_k": [8, 8, 8], "c_k": [1, 8, 7], "n_J": 8, "c_J": 0, "c_kJ": [1, 8, 7]},
        ceiling={
            "dimensions": ["helpful", "harmless", "truthful"],
            "best_of": [curve(0.75), curve(1.0), curve(1.0)],
            "spread": [0.18, 0.0, 0.24],
            "joint_attainment": curve(0.5),
        },
    )


def add_evaluation(project: Project, name: str, raw: dict[str, list[float]]) -> Evaluation:
    """An imported evaluation on the held-out prompts: raw scores per dimension, one a prompt."""
    policy, _ = Policy.objects.get_or_create(project=project, name=name)
    sampling = Sampling.objects.create(project=project, policy=policy, engine="imported")
    judges = list(project.judges.filter(use="evaluation").select_related("dimension"))
    prompts = Prompt.objects.filter(prompt_set__name="held-out").order_by("pk")
    for i, prompt in enumerate(prompts):
        rollout = Rollout.objects.create(
            sampling=sampling, prompt=prompt, index=0, text="t", finish_reason="stop"
        )
        for judge in judges:
            value = raw[judge.dimension.name][i]
            Score.objects.create(
                rollout=rollout, judge=judge, judge_version=judge.version, raw=value
            )
    made = Evaluation.objects.create(project=project, policy=policy, sampling=sampling, label=name)
    made.judges.set(judges)
    return made
