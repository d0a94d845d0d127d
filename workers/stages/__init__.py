"""The kinds of stages. Each has a plan (its chunks), a work (one chunk's) and a finish (what it
found). A body computes and returns what to write; `claims.close` writes it, or nobody does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from alignment import lifecycle
from alignment.models import Chunk, Stage
from workers.stages import evaluating, mining, pairing, rewriting, sampling, scoring, training
from workers.stages.job import ChunkPlan, Job, Outcome, Write

__all__ = ["HANDLERS", "Job", "finish", "plan"]


@dataclass(frozen=True, kw_only=True)
class Handler:
    plan: Callable[[Stage], list[ChunkPlan]]
    work: Callable[[Job], Write]
    finish: Callable[[Stage], Outcome]
    unit: str


HANDLERS = {
    "sample": Handler(
        plan=sampling.plan, work=sampling.work, finish=sampling.finish, unit="rollouts"
    ),
    "score": Handler(plan=scoring.plan, work=scoring.work, finish=scoring.finish, unit="scores"),
    "mine": Handler(plan=mining.plan, work=mining.work, finish=mining.finish, unit="prompts"),
    "rewrite": Handler(
        plan=rewriting.plan, work=rewriting.work, finish=rewriting.finish, unit="prompts"
    ),
    "resample": Handler(
        plan=sampling.plan, work=sampling.work, finish=sampling.finish, unit="rollouts"
    ),
    "rescore": Handler(plan=scoring.plan, work=scoring.work, finish=scoring.finish, unit="scores"),
    "pair": Handler(plan=pairing.plan, work=pairing.work, finish=pairing.finish, unit="prompts"),
    "train": Handler(plan=training.plan, work=training.work, finish=training.finish, unit="steps"),
    "evaluate": Handler(
        plan=evaluating.plan, work=evaluating.work, finish=evaluating.finish, unit="rollouts"
    ),
}


def plan(stage: Stage) -> None:
    """Write the stage's chunks; what they hold never changes after that."""
    handler = HANDLERS[stage.kind]
    chunks = [
        Chunk(stage=stage, part=c.part, index=c.index, items=c.items, size=c.size)
        for c in handler.plan(stage)
    ]
    Chunk.objects.bulk_create(chunks)
    total = sum(c.size for c in chunks)
    Stage.objects.filter(pk=stage.pk).update(total=total, done=0, unit=handler.unit)


def finish(stage: Stage) -> None:
    """End a stage whose chunks are all done."""
    outcome = HANDLERS[stage.kind].finish(stage)
    if outcome.failed:
        return lifecycle.fail(stage, outcome.failed)
    lifecycle.succeed(
        stage,
        empty=bool(outcome.empty),
        reason=outcome.empty,
        facts={**stage.facts, **outcome.facts},
    )
