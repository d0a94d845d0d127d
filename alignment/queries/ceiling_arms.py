"""The arms that mined the same, and which of them are fresh originals.

Runs share a stage of mining, or, where they were started together, each has one of the same
fingerprint: equal fingerprints are equal results.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import QuerySet

from alignment.models import Judge, PooledVolume, Score, Stage, Status
from alignment.queries.replay import judges_of


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A run's round that rewrote what the same mining found. n: rollouts a prompt."""

    name: str
    strategy: str
    run_id: int
    sampling_id: int
    n: int


def arms_of(mine: Stage) -> list[Arm]:
    """The finished arms that mined the same, oldest run first, whose rollouts have scores by the
    judges of that mining in their versions."""
    judges = judges_of(mine)
    found = []
    for stage in _same(mine).select_related("run").order_by("run_id", "round"):
        own = {s.kind: s for s in stage.run.stages.filter(round=stage.round)}
        rescore, resample = own["rescore"], own["resample"]
        if rescore.status == Status.SUCCEEDED and rescore.fingerprint:
            arm = Arm(
                name=stage.run.name,
                strategy=own["rewrite"].config["rewrite"]["strategy"],
                run_id=stage.run_id,
                sampling_id=resample.source.sampling.pk,
                n=resample.config["sample"]["n"],
            )
            if _is_judged(arm, judges):
                found.append(arm)
    return found


def _is_judged(arm: Arm, judges: Iterable[Judge]) -> bool:
    scores = Score.objects.filter(rollout__sampling=arm.sampling_id)
    return all(scores.filter(judge=j.pk, judge_version=j.version).exists() for j in judges)


def _same(mine: Stage) -> "QuerySet[Stage]":
    """The finished stages of mining with the same result, whichever has the rows."""
    return Stage.objects.filter(
        run__project=mine.run.project_id,
        kind="mine",
        fingerprint=mine.fingerprint,
        status=Status.SUCCEEDED,
    )


def stands_for(mine: Stage) -> Stage:
    """The one stage of mining that stands for all with the same result: the oldest of them that
    has the rows."""
    return _same(mine).filter(reused_from=None).earliest("pk")


def frozen_volume(mine: Stage) -> PooledVolume | None:
    """The pooled volume frozen for the arms that mined the same."""
    return PooledVolume.objects.filter(mine__in=_same(mine)).order_by("pk").first()


def fresh_for(arms: Iterable[Arm], own: Arm | None) -> Arm | None:
    """The arm of fresh originals, as many a prompt as the arm's own rollouts where there is one:
    at unequal numbers nothing is compared. Without an arm of one's own, any."""
    fresh = [arm for arm in arms if arm.strategy == "none"]
    return next((arm for arm in fresh if own is None or arm.n == own.n), None)
