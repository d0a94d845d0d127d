"""Score and rescore: every judge of the stage on every rollout of the sampling before it."""

from django.db.models import Count, F, Q

from alignment.models import Judge, Rollout, Score, Stage
from workers import store
from workers.stages.job import ChunkPlan, Job, Outcome, Write, before

SAMPLED_BY = {"score": "sample", "rescore": "resample"}


def plan(stage: Stage) -> list[ChunkPlan]:
    sampled = before(stage, SAMPLED_BY[stage.kind]).source
    judges = len(stage.config["judges"])
    return [
        ChunkPlan(index=chunk.index, items=chunk.items, size=chunk.size * judges)
        for chunk in sampled.chunks.order_by("index")
    ]


def work(job: Job) -> Write:
    sampled = before(job.stage, SAMPLED_BY[job.stage.kind]).source
    return score(job, sampled, job.stage.config["judges"])


def score(job: Job, sampled: Stage, judge_names: dict[str, str]) -> Write:
    """Judge the chunk's rollouts of a sampling stage; what to write of it."""
    rollouts = list(
        Rollout.objects.filter(sampling__stage=sampled, prompt_id__in=job.claim.items)
        .select_related("prompt")
        .order_by("prompt_id", "index")
    )
    judges = store.judges(job.stage.run.project, judge_names.values())
    prompts = [r.prompt.text for r in rollouts]
    completions = [r.text for r in rollouts]
    replies = [judge(job, j, j.rule, prompts, completions) for j in judges]

    def write() -> None:
        for by, judgements in zip(judges, replies, strict=True):
            store.write_scores(by, [r.pk for r in rollouts], judgements)

    return write


def judge(
    job: Job, by: Judge, rule: str, prompts: list[str], completions: list[str]
) -> list[dict[str, object]]:
    """A judge's replies on completions, in parallel: raw score or none, reply, reason."""
    args = {"rule": rule, "prompts": prompts, "completions": completions}
    found: list[dict[str, object]] = job.call({"engine": by.engine}, "judge", args)
    return found


def finish(stage: Stage) -> Outcome:
    sampled = before(stage, SAMPLED_BY[stage.kind]).source
    return Outcome(facts={"left_out": left_out(sampled, stage.config["judges"])})


def left_out(sampled: Stage, judge_names: dict[str, str]) -> dict[str, float]:
    """Share of the rollouts without a valid score, per judge."""
    scores = Score.objects.filter(
        rollout__sampling__stage=sampled,
        judge__name__in=judge_names.values(),
        judge_version=F("judge__version"),
    )
    counts = scores.values_list("judge__name").annotate(
        every=Count("pk"), none=Count("pk", filter=Q(raw=None))
    )
    return {name: none / every for name, every, none in counts}
