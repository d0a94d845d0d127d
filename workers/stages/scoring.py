"""Score and rescore: every judge of the stage on every rollout of the sampling before it.

Where a judge loads a model here, each judge has a part of its own, so that a model is loaded once
and not with every chunk.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from django.db.models import Count, F, Max, Q, QuerySet

from alignment.models import Judge, Rollout, Score, Stage, Status
from workers import judging, store
from workers.stages.job import ChunkPlan, Job, Outcome, Write, add_counts, before

SAMPLED_BY = {"score": "sample", "rescore": "resample"}
AT_WORK = (Status.QUEUED, Status.RUNNING, Status.CANCELLING)


def plan(stage: Stage) -> list[ChunkPlan]:
    sampled = before(stage, SAMPLED_BY[stage.kind]).source
    _forget_silent(stage, sampled)
    chunks = [
        ChunkPlan(index=chunk.index, items=chunk.items, size=chunk.size)
        for chunk in sampled.chunks.filter(part=0).order_by("index")
    ]
    return plan_scoring(stage, chunks, stage.config["judges"])


def plan_scoring(
    stage: Stage, chunks: Iterable[ChunkPlan], judge_names: dict[str, str], first_part: int = 0
) -> list[ChunkPlan]:
    """Chunks in which all judges judge, or one judge a part where one of them loads a model."""
    judges = store.judges(stage.run.project, judge_names.values())
    apart = any(j.model_folder or j.engine == Judge.Engine.MC2 for j in judges)
    parts = len(judges) if apart else 1
    each = 1 if apart else len(judges)
    return [
        ChunkPlan(index=c.index, items=c.items, size=c.size * each, part=first_part + part)
        for part in range(parts)
        for c in chunks
    ]


def work(job: Job) -> Write:
    sampled = before(job.stage, SAMPLED_BY[job.stage.kind]).source
    return score(job, sampled, job.stage.config["judges"], range(last_part(job.stage) + 1))


def last_part(stage: Stage) -> int:
    """The number of the stage's last part."""
    return int(stage.chunks.aggregate(last=Max("part"))["last"])


def score(
    job: Job,
    sampled: Stage,
    judge_names: dict[str, str],
    parts: range,
    sets: Mapping[str, str] | None = None,
) -> Write:
    """Judge the chunk's rollouts of a sampling stage; what to write of it. What a judge's version
    said of a rollout before, for another run, stands: it is not asked twice.

    parts: the stage's parts that score. sets: by judge the prompt set whose rollouts alone it
    judges.
    """
    rollouts = list(
        Rollout.objects.filter(sampling__stage=sampled, prompt_id__in=job.claim.items)
        .select_related("prompt__prompt_set")
        .order_by("prompt_id", "index")
    )
    found = []
    for by in _judges_of(job, judge_names, parts):
        asked = [r for r in rollouts if not sets or r.prompt.prompt_set.name == sets[by.name]]
        known = Score.objects.filter(judge=by, judge_version=by.version, rollout__in=asked)
        known_ids = set(known.values_list("rollout", flat=True))
        own = [r for r in asked if r.pk not in known_ids]
        found.append((by, own, _judged(job, by, sampled, own)))

    def write() -> None:
        for by, own, judged in found:
            store.write_scores(by, [r.pk for r in own], judged.judgements)
        add_counts(job.stage, "usage", sum((judged.usage for _, _, judged in found), Counter()))

    return write


def _judged(job: Job, by: Judge, sampled: Stage, rollouts: list[Rollout]) -> judging.Judged:
    if not rollouts:
        return judging.Judged(judgements=[])
    if by.engine == Judge.Engine.MC2:
        sampling = sampled.sampling
        prompts = [r.prompt for r in rollouts]
        return judging.judge_policy(job.call, sampling.policy, prompts, sampling.params)
    texts = [r.prompt.text for r in rollouts]
    return judging.judge(job.call, by, texts, [r.text for r in rollouts])


def _judges_of(job: Job, judge_names: dict[str, str], parts: range) -> list[Judge]:
    """The judges whose part the chunk is: all of them, or one."""
    judges = store.judges(job.stage.run.project, judge_names.values())
    return [judges[parts.index(job.claim.part)]] if len(parts) > 1 else judges


def finish(stage: Stage) -> Outcome:
    sampled = before(stage, SAMPLED_BY[stage.kind]).source
    names = stage.config["judges"]
    if silent := silent_judges(stage, sampled, names):
        stage.chunks.all().delete()  # a retry plans anew, and asks anew
        Stage.objects.filter(pk=stage.pk).update(total=0, done=0)
        return Outcome(failed=told_of(silent[0], sampled))
    versions = {
        judge.name: judge.version for judge in store.judges(stage.run.project, names.values())
    }
    return Outcome(facts={"left_out": left_out(sampled, names), "versions": versions})


def silent_judges(stage: Stage, sampled: Stage, judge_names: dict[str, str]) -> list[Judge]:
    """The judges that were asked of a sampling's rollouts and gave no score on any."""
    found = []
    for by in store.judges(stage.run.project, judge_names.values()):
        scores = scores_of(by, sampled)
        if scores.exists() and not scores.filter(raw__isnull=False).exists():
            found.append(by)
    return found


def scores_of(by: Judge, sampled: Stage) -> "QuerySet[Score]":
    """What the judge's version now said of a sampling's rollouts."""
    return Score.objects.filter(
        rollout__sampling__stage=sampled, judge=by, judge_version=by.version
    )


def told_of(by: Judge, sampled: Stage) -> str:
    """What to say of a judge that gave no score at all."""
    scores = scores_of(by, sampled)
    first = scores.order_by("pk")[0]
    replied = f"; its first reply was {first.reply[:120]!r}" if first.reply else ""
    return (
        f"judge {by.name} gave no score on any of {scores.count():,} rollouts:"
        f" {first.reason or 'it said nothing'}{replied}."
        " Correct the judge, try it on a text, and start a clone of the run; or retry, if what"
        " it asks answers otherwise now"
    )


def _forget_silent(stage: Stage, sampled: Stage) -> None:
    """Drop what judges said that gave no score on any rollout, so that they are asked anew; not
    where another stage at work stands on it. No finished stage does."""
    at_work = Stage.objects.filter(
        run__project=stage.run.project_id, kind__in=SAMPLED_BY, status__in=AT_WORK
    ).exclude(pk=stage.pk)
    beside = [s for s in at_work if before(s, SAMPLED_BY[s.kind]).source == sampled]
    kept = {name for other in beside for name in other.config["judges"].values()}
    for by in silent_judges(stage, sampled, stage.config["judges"]):
        if by.name not in kept:
            scores_of(by, sampled).delete()


def left_out(sampled: Stage, judge_names: dict[str, str]) -> dict[str, float]:
    """Share of the rollouts judged without a valid score of the judge's version now, per judge."""
    scores = Score.objects.filter(
        rollout__sampling__stage=sampled, judge__name__in=judge_names.values()
    )
    valid = Q(raw__isnull=False, judge_version=F("judge__version"))
    counts = scores.values_list("judge__name").annotate(
        every=Count("rollout", distinct=True), valid=Count("rollout", filter=valid)
    )
    return {name: 1 - valid / every for name, every, valid in counts}
