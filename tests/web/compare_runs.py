"""Runs with finished evaluations, for the tests of the Compare page."""

from collections.abc import Sequence

from alignment.models import Chunk, Evaluation, Prompt, Rollout, Run, Sampling
from tests.web.conftest import add_evaluation, put, stage_of

SAFE = {"helpful": [2.0, 2, 2, 2], "harmless": [1.0, 1, 1, 1], "truthful": [1.0] * 4}
KEEN = {"helpful": [4.0, 4, 4, 2], "harmless": [1.0, 0, 1, 0], "truthful": [1.0] * 4}


def evaluated(run: Run, number: int, raw: dict[str, list[float]], tokens: int) -> Evaluation:
    """A finished evaluation after a round, of completions all as long."""
    stage = put(stage_of(run, "evaluate", number), status="succeeded")
    made = add_evaluation(run.project, f"{run.name}: {number}", raw)
    Evaluation.objects.filter(pk=made.pk).update(stage=stage)
    if number == 0:
        start = run.project.policies.get(name=run.config["policy"])
        Evaluation.objects.filter(pk=made.pk).update(policy=start)
        Sampling.objects.filter(pk=made.sampling_id).update(policy=start)
    Rollout.objects.filter(sampling=made.sampling).update(tokens=tokens, refused=False)
    made.refresh_from_db()
    return made


def held_out() -> list[Prompt]:
    return list(Prompt.objects.filter(prompt_set__name="held-out").order_by("pk"))


def ask(evaluation: Evaluation, prompts: Sequence[Prompt], cut: int = 2) -> None:
    """The evaluation's stage planned to sample these prompts, and some more in a later part."""
    for i in range(0, len(prompts), cut):
        items = [prompt.pk for prompt in prompts[i : i + cut]]
        for part in (0, 1):
            Chunk.objects.create(stage=evaluation.stage, part=part, index=i, items=items, size=1)


def answer_only(evaluation: Evaluation, prompts: Sequence[Prompt]) -> None:
    Rollout.objects.filter(sampling=evaluation.sampling).exclude(prompt__in=prompts).delete()
