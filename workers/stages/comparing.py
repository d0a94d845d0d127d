"""Compare: rubric judges put each prompt's first completion beside the start policy's, in both
orders. The last parts of an evaluation after a round, one part a judge."""

from collections.abc import Iterable, Mapping

from alignment.models import Judge, Preference, Prompt, Rollout, Stage
from workers import judging, store
from workers.stages.job import ChunkPlan, Job, Write, add_counts


def plan_comparing(
    judges: Mapping[str, str], sampled: Iterable[ChunkPlan], first_part: int
) -> list[ChunkPlan]:
    """A part a judge, whose chunks are the sampled prompts'."""
    chunks = list(sampled)
    return [
        ChunkPlan(index=c.index, items=c.items, size=0, part=first_part + i)
        for i in range(len(judges))
        for c in chunks
    ]


def compare(job: Job, by: Judge, prompt_set: str) -> Write:
    """Have the chunk's prompts of a set judged in both orders; what to write of it."""
    stages = (job.stage, job.stage.start_evaluation)
    own, start = (_first_rollouts(job, stage, prompt_set) for stage in stages)
    shared = sorted(own.keys() & start.keys())
    asked = Prompt.objects.filter(pk__in=job.claim.items, prompt_set__name=prompt_set).count()
    lacking = {by.dimension.name: asked - len(shared)} if asked > len(shared) else {}
    shown = [pair for key in shared for pair in _both_orders(own[key], start[key])]
    items = [(one.prompt.text, one.text, other.text) for one, other in shown]
    judged = judging.compare(job.call, by, items)
    rows = [
        Preference(
            first=one,
            second=other,
            judge=by,
            judge_version=by.version,
            outcome=found["raw"],
            reply=store.storable(found["reply"]),
            reason=store.storable(found["reason"]),
        )
        for (one, other), found in zip(shown, judged.judgements, strict=True)
    ]

    def write() -> None:
        store.insert(rows)
        add_counts(job.stage, "usage", judged.usage)
        add_counts(job.stage, "not_compared", lacking)

    return write


def _first_rollouts(job: Job, sampled: Stage, prompt_set: str) -> dict[int, Rollout]:
    """The first rollout of each of the chunk's prompts of a set, by the prompt's id."""
    found = Rollout.objects.filter(
        sampling__stage=sampled,
        prompt_id__in=job.claim.items,
        prompt__prompt_set__name=prompt_set,
        index=0,
    )
    return {r.prompt_id: r for r in found.select_related("prompt")}


def _both_orders(own: Rollout, start: Rollout) -> tuple[tuple[Rollout, Rollout], ...]:
    return (own, start), (start, own)
