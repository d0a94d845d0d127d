"""Evaluate: the run's policy on held-out prompts, by judges that took no part in pairing.

Part 0 samples, the parts after it score what part 0 sampled, and the last ones, after a round,
compare it with the start policy's; the chunks of all are the same prompts.
"""

from alignment.models import Evaluation, Judge, Prompt, Sampling, Stage
from alignment.queries.prompts import seeds_of
from alignment.queries.stages import untrained_rounds
from workers import store
from workers.stages import comparing, sampling, scoring
from workers.stages.job import ChunkPlan, Job, Outcome, Write, reopen


def plan(stage: Stage) -> list[ChunkPlan]:
    sampled = sampling.plan_sampling(stage, prompts_of(stage))
    judges = stage.config["evaluate"]["judges"]
    unsized = [ChunkPlan(index=c.index, items=c.items, size=0) for c in sampled]
    scored = scoring.plan_scoring(stage, unsized, judges, first_part=1)
    after = max((chunk.part for chunk in scored), default=0) + 1
    compared = comparing.plan_comparing(_compare_of(stage), sampled, first_part=after)
    return [*sampled, *scored, *compared]


def _compare_of(stage: Stage) -> dict[str, str]:
    """By dimension the judge that compares; none where the start policy itself is evaluated."""
    return dict(stage.config["evaluate"].get("compare", {}))


def prompts_of(stage: Stage) -> list[Prompt]:
    """The held-out prompts of all sets, the same ones for every policy and every seed, since arms
    are paired over prompts: the first by their keys, which are random as to their texts."""
    limit = stage.config["evaluate"]["limit"]
    names = dict.fromkeys(sets_of(stage).values())
    sets = (seeds_of(stage.run.project_id, [name]) for name in names)
    return [p for found in sets for p in sorted(found, key=lambda p: p.key)[:limit]]


def sets_of(stage: Stage) -> dict[str, str]:
    """By dimension the set whose rollouts are judged on it: its own, or the one of all."""
    asked = stage.config["evaluate"]
    return {d: asked["sets"].get(d, asked["prompts"]) for d in asked["judges"]}


def work(job: Job) -> Write:
    if job.claim.part == 0:
        return sampling.sample(job, job.stage.sampling)
    judges = job.stage.config["evaluate"]["judges"]
    sets, compare = sets_of(job.stage), _compare_of(job.stage)
    scored = _scored_in(job.stage)
    if job.claim.part >= scored.stop:
        dimension, name = list(compare.items())[job.claim.part - scored.stop]
        (by,) = store.judges(job.stage.run.project, [name])
        return comparing.compare(job, by, sets[dimension])
    own_sets = {judge: sets[dimension] for dimension, judge in judges.items()}
    return scoring.score(job, job.stage, judges, scored, own_sets)


def _ask_again(stage: Stage, judges: list[Judge]) -> None:
    """Drop what the judges said, and open the parts that score for a retry."""
    for by in judges:
        scoring.scores_of(by, stage).delete()
    reopen(stage, stage.chunks.filter(part__in=_scored_in(stage)))


def _scored_in(stage: Stage) -> range:
    """The parts that score."""
    return range(1, scoring.last_part(stage) - len(_compare_of(stage)) + 1)


def finish(stage: Stage) -> Outcome:
    sampled = Sampling.objects.get(stage=stage)
    names = stage.config["evaluate"]["judges"]
    if silent := scoring.silent_judges(stage, stage, names):
        told = scoring.told_of(silent[0], stage)
        _ask_again(stage, silent)
        return Outcome(failed=told)
    outcome = sampling.finish(stage)
    if outcome.failed:
        return outcome
    judges = store.judges(stage.run.project, names.values())
    evaluation = Evaluation.objects.create(
        project=stage.run.project,
        stage=stage,
        policy=sampled.policy,
        sampling=sampled,
        label=label_of(stage),
    )
    evaluation.judges.set(judges)
    left_out = scoring.left_out(stage, names)
    return Outcome(facts={**outcome.facts, "left_out": left_out})


def label_of(stage: Stage) -> str:
    """How the evaluated policy is called in tables and plots of its run."""
    if not stage.round:
        return f"{stage.run.name}: start"
    untrained = untrained_rounds([stage.run_id]).get(stage.run_id, ())
    told = ", which trained nothing" if stage.round in untrained else ""
    return f"{stage.run.name}: after round {stage.round}{told}"
