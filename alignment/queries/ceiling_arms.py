"""The arms that share a round's stage of mining, and which of them are fresh originals."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from alignment.models import Stage, Status


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A run's round that rewrote what the same stage of mining found. n: rollouts a prompt."""

    name: str
    strategy: str
    run_id: int
    sampling_id: int
    n: int


def arms_of(mine: Stage) -> list[Arm]:
    """The finished arms that share the stage of mining, oldest run first."""
    source = mine.source.pk
    same = Stage.objects.filter(Q(pk=source) | Q(reused_from=source), kind="mine")
    found = []
    for stage in same.select_related("run").order_by("run_id"):
        own = {s.kind: s for s in stage.run.stages.filter(round=stage.round)}
        rescore, resample = own["rescore"], own["resample"]
        if rescore.status == Status.SUCCEEDED and rescore.fingerprint:
            found.append(
                Arm(
                    name=stage.run.name,
                    strategy=own["rewrite"].config["rewrite"]["strategy"],
                    run_id=stage.run_id,
                    sampling_id=resample.source.sampling.pk,
                    n=resample.config["sample"]["n"],
                )
            )
    return found


def fresh_for(arms: Iterable[Arm], own: Arm | None) -> Arm | None:
    """The arm of fresh originals, as many a prompt as the arm's own rollouts where there is one:
    at unequal numbers nothing is compared. Without an arm of one's own, any."""
    fresh = [arm for arm in arms if arm.strategy == "none"]
    return next((arm for arm in fresh if own is None or arm.n == own.n), None)
