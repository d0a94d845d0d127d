"""The ceiling of a run's round, and its thresholds replayed."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from django.http import Http404
from ninja import Query, Router, Schema

from alignment.api.access import run_for
from alignment.api.auth import Request
from alignment.api.pages import Id
from alignment.models import Run, Stage
from alignment.queries.ceiling_arms import arms_of, fresh_for
from alignment.queries.ceiling_page import mined_stages, parse_rule
from alignment.queries.ceilings import before_after, mining_side
from alignment.queries.replay import replay

router = Router(tags=["ceiling"])
Round = Annotated[int, Query(ge=1, le=32, description="round of the run")]
Share = Annotated[float | None, Query(ge=0, le=1)]


class ReplayOut(Schema):
    """Verdicts of the rule that ran and of the one asked for; nothing is sampled or changed."""

    prompts: int
    before: dict[str, int]
    after: dict[str, int]
    mined_before: int
    mined_after: int
    changed: int


class CeilingOut(Schema):
    """`sample`: curves (each value is over as many of the prompts as its curve's `prompts` says at
    that m, those with m valid rollouts) and grades of the mining sample, best of N by the first
    dimension, whose passes are on the second; `compared`: rewrites against fresh originals, null
    without an arm `none`."""

    dimensions: list[str]
    sample: dict[str, Any]
    compared: dict[str, Any] | None


@router.get("/runs/{run_id}/replay", response=ReplayOut)
def replay_thresholds(
    request: Request,
    run_id: Id,
    round: Round = 1,
    rule: Literal["capped", "flat"] | None = None,
    attained_at: Share = None,
    joint_at_most: Share = None,
    min_valid: Annotated[int | None, Query(ge=1, le=1024)] = None,
    spread_above: Share = None,
) -> dict[str, Any]:
    """What other mining thresholds would have said of the round's stored scores; what is not given
    is as the round ran it, and so is a judge's noise while `spread_above` is."""
    stage = _stage(run_for(request.auth, run_id), round)
    given = {
        "rule": rule,
        "attained_at": attained_at,
        "joint_at_most": joint_at_most,
        "min_valid": min_valid,
        "spread_above": spread_above,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    return asdict(replay(stage, parse_rule({**stage.config["mine"], **changed}, stage)))


@router.get("/runs/{run_id}/ceiling", response=CeilingOut)
def get_ceiling(request: Request, run_id: Id, round: Round = 1) -> dict[str, Any]:
    """How far rewards reach on the round's prompts, before and after rewriting."""
    stage = _stage(run_for(request.auth, run_id), round)
    names = stage.config["dimensions"]
    line = min(1, len(names) - 1)
    side, _ = mining_side(stage, 0, line)
    arms = arms_of(stage)
    own = next((a for a in arms if a.run_id == stage.run_id and a.strategy != "none"), None)
    fresh = fresh_for(arms, own)
    found = before_after(stage, arms, own, fresh, 0, line) if own and fresh else None
    compared = asdict(found) if found else None
    return {"dimensions": names, "sample": asdict(side), "compared": compared}


def _stage(run: Run, number: int) -> Stage:
    """The finished stage of mining of a run's round."""
    found = [s for s in mined_stages(run.project) if (s.run_id, s.round) == (run.pk, number)]
    if not found:
        raise Http404("this round of the run has mined nothing yet")
    return found[0]
