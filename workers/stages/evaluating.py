"""Evaluate: the run's policy on held-out prompts, by judges that took no part in pairing.

Part 0 samples, the parts after it score what part 0 sampled; the chunks of all are the same
prompts. Part 1 also notes which rollouts refuse, since a policy that refuses everything is safe.
"""

from alignment.models import Evaluation, Prompt, Rollout, Sampling, Stage
from workers import store
from workers.stages import sampling, scoring
from workers.stages.job import ChunkPlan, Job, Outcome, Write


def plan(stage: Stage) -> list[ChunkPlan]:
    sampled = sampling.plan_sampling(stage, prompts_of(stage))
    judges = stage.config["evaluate"]["judges"]
    scored = [ChunkPlan(index=c.index, items=c.items, size=0) for c in sampled]
    return [*sampled, *scoring.plan_scoring(stage, scored, judges, first_part=1)]


def prompts_of(stage: Stage) -> list[Prompt]:
    """The held-out prompts of all sets, the same ones for every policy of the run."""
    limit = stage.config["evaluate"]["limit"]
    names = dict.fromkeys(sets_of(stage).values())
    return [p for name in names for p in sampling.seeds_of(stage, name, "held out")[:limit]]


def sets_of(stage: Stage) -> dict[str, str]:
    """By judge the set whose rollouts it judges: its dimension's own, or the one of all."""
    asked = stage.config["evaluate"]
    return {j: asked["sets"].get(d, asked["prompts"]) for d, j in asked["judges"].items()}


def work(job: Job) -> Write:
    if job.claim.part == 0:
        return sampling.sample(job, job.stage.sampling)
    judges = job.stage.config["evaluate"]["judges"]
    score = scoring.score(job, job.stage, judges, first_part=1, sets=sets_of(job.stage))
    refused = refusals(job) if job.claim.part == 1 else {}

    def write() -> None:
        score()
        for declines in (True, False):
            chosen = [pk for pk, found in refused.items() if found is declines]
            Rollout.objects.filter(pk__in=chosen).update(refused=declines)

    return write


def refusals(job: Job) -> dict[int, bool]:
    """Which of the chunk's rollouts decline, by the rule `refusal`; empty ones are left out."""
    rollouts = list(
        Rollout.objects.filter(
            sampling__stage=job.stage, prompt_id__in=job.claim.items
        ).select_related("prompt")
    )
    args = {
        "rule": "refusal",
        "prompts": [r.prompt.text for r in rollouts],
        "completions": [r.text for r in rollouts],
    }
    replies = job.call({"engine": "rules"}, "judge", args)
    found = zip(rollouts, replies, strict=True)
    return {r.pk: bool(reply["raw"]) for r, reply in found if reply["raw"] is not None}


def finish(stage: Stage) -> Outcome:
    sampled = Sampling.objects.get(stage=stage)
    judges = store.judges(stage.run.project, stage.config["evaluate"]["judges"].values())
    evaluation = Evaluation.objects.create(
        project=stage.run.project,
        stage=stage,
        policy=sampled.policy,
        sampling=sampled,
        label=label_of(stage),
    )
    evaluation.judges.set(judges)
    left_out = scoring.left_out(stage, stage.config["evaluate"]["judges"])
    return Outcome(facts={**sampling.finish(stage).facts, "left_out": left_out})


def label_of(stage: Stage) -> str:
    """How the evaluated policy is called in tables and plots of its run."""
    return f"{stage.run.name}: {f'after round {stage.round}' if stage.round else 'start'}"
