"""A project with two dimensions, and evaluations made of rows written out in a test."""

from collections.abc import Callable, Sequence

import pytest

from alignment.models import (
    Dimension,
    Evaluation,
    Judge,
    Policy,
    Project,
    Prompt,
    PromptSet,
    Rollout,
    Sampling,
    Score,
    Stage,
)

# Prompt, finish reason, raw score per dimension: a number, None for an invalid one, "" for none.
Row = tuple[str, str, Sequence[float | str | None]]
MakeEvaluation = Callable[..., Evaluation]


@pytest.fixture
def project(db: None) -> Project:
    made = Project.objects.create(name="P", slug="p")
    for position, (name, low, high, bar) in enumerate(
        [("helpful", 1, 5, 4), ("harmless", 0, 1, 1)]
    ):
        dimension = Dimension.objects.create(
            project=made, name=name, position=position, scale_low=low, scale_high=high, bar=bar
        )
        Judge.objects.create(
            project=made, dimension=dimension, name=f"{name} judge", engine="rules"
        )
    return made


@pytest.fixture
def make_evaluation(project: Project) -> MakeEvaluation:
    def make(
        name: str, rows: Sequence[Row], stage: Stage | None = None, prompt_set: str = "S"
    ) -> Evaluation:
        prompts, _ = PromptSet.objects.get_or_create(project=project, name=prompt_set)
        policy = Policy.objects.create(project=project, name=name)
        sampling = Sampling.objects.create(
            project=project, policy=policy, stage=stage, engine="imported"
        )
        judges = list(project.judges.all())
        for text, finish, values in rows:
            prompt, _ = Prompt.objects.get_or_create(
                prompt_set=prompts, text=text, key=Prompt.key_of(text)
            )
            index = Rollout.objects.filter(sampling=sampling, prompt=prompt).count()
            rollout = Rollout.objects.create(
                sampling=sampling, prompt=prompt, index=index, text="t", finish_reason=finish
            )
            for judge, raw in zip(judges, values, strict=True):
                if raw != "":
                    Score.objects.create(
                        rollout=rollout, judge=judge, judge_version=judge.version, raw=raw
                    )
        made = Evaluation.objects.create(
            project=project, policy=policy, sampling=sampling, label=name, stage=stage
        )
        made.judges.set(judges)
        return made

    return make
