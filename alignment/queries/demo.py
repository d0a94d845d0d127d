"""The summary of a finished run that `make demo` prints and writes as JSON.

Stages may reuse another run's results, so rows are read through `stage.source`.
"""

from typing import Any

from alignment.models import Chunk, Evaluation, Pair, Rollout, Run, Stage
from alignment.queries.results import policy_table, summary_json
from alignment.queries.stages import FILTERS


def demo_summary(run: Run) -> dict[str, Any]:
    """The run's policies, counts, yields and gates; figures are None where there is none.

    `yield` and `loss_step1` are keyed by round number, as JSON wants: a string. A round that
    skipped the stage has None there.
    """
    stages = list(run.stages.select_related("reused_from").order_by("position"))
    sources = {stage.source.pk for stage in stages}
    took = (run.ended_at - run.started_at) if run.started_at and run.ended_at else None
    return {
        "policies": _policies([s for s in stages if s.kind == "evaluate"]),
        "rollouts": Rollout.objects.filter(sampling__stage__in=sources).count(),
        "chunks": Chunk.objects.filter(stage__in=sources).count(),
        "pairs": Pair.objects.filter(stage__in=sources).count(),
        "yield": {r: _ordered(left) for r, left in _facts(stages, "pair", "yield").items()},
        "loss_step1": _facts(stages, "train", "loss_step1"),
        "seed": run.config["seed"],
        "seconds": took.total_seconds() if took is not None else None,
    }


def _policies(stages: list[Stage]) -> list[dict[str, Any]]:
    """The policy table by round; an untrained round has the figures of the one before it."""
    known = Evaluation.objects.filter(stage__in=[stage.source.pk for stage in stages])
    found = {e.stage_id: e for e in known.prefetch_related("judges__dimension")}
    rows = {row.evaluation.stage_id: row for row in policy_table(found.values())}
    return [
        {**summary_json(rows[stage.source.pk]), "name": _name(stage)}
        for stage in stages
        if stage.source.pk in rows
    ]


def _name(stage: Stage) -> str:
    return f"after round {stage.round}" if stage.round else "start"


def _ordered(left: dict[str, int] | None) -> dict[str, int] | None:
    """A yield with its filters in the order applied."""
    return left and {name: left[name] for name in FILTERS if name in left}


def _facts(stages: list[Stage], kind: str, fact: str) -> dict[str, Any]:
    return {str(s.round): s.source.facts.get(fact) for s in stages if s.kind == kind}
