"""The ceiling of a run's round, and its thresholds replayed."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from django.http import Http404
from ninja import Query, Router, Schema
from ninja.errors import HttpError

from alignment.api.access import run_for
from alignment.api.auth import Request
from alignment.api.pages import Id
from alignment.models import Run, Stage
from alignment.queries.ceiling_arms import arms_of, fresh_for
from alignment.queries.ceiling_page import axes_of, mined_stages, parse_rule
from alignment.queries.ceilings import before_after, mining_numbers, mining_side
from alignment.queries.replay import replay

router = Router(tags=["ceiling"])
Round = Annotated[int, Query(ge=1, le=32, description="round of the run")]
Share = Annotated[float | None, Query(ge=0, le=1)]
MinValid = Annotated[int, Query(ge=1, le=1024)] | Literal["half"] | None
Axis = Annotated[str | None, Query(max_length=200, description="name of a dimension")]


class ReplayOut(Schema):
    """Verdicts of the rule that ran, as stored, and of the one asked for; nothing is sampled or
    changed. `outdated`: prompts whose stored verdict the rule that ran would not give on the scores
    and scales of now."""

    prompts: int
    before: dict[str, int]
    after: dict[str, int]
    mined_before: int
    mined_after: int
    changed: int
    outdated: int


class CeilingOut(Schema):
    """`sample`: curves of the mining sample (each over as many of its `prompts` as the curve's own
    `prompts` says: those with a valid rollout for every m), grades, best of N by the dimension
    `bars`, whose passes are on `line`, and the ceiling's `numbers`, whose low counts are partly
    luck, since prompts were mined by them: never what rewrites are compared with; `compared`:
    rewrites against fresh originals, both over the same prompts, null without an arm `none`."""

    dimensions: list[str]
    bars: str
    line: str
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
    min_valid: MinValid = None,
    spread_above: Share = None,
) -> dict[str, Any]:
    """What other mining thresholds would have said of the round's stored scores; what is not given
    is as the round ran it, and so is a judge's noise while `spread_above` is. `min_valid` is a
    number, or `half` of the rollouts sampled, at least 4."""
    stage = _stage(run_for(request.auth, run_id), round)
    given = {
        "rule": rule,
        "attained_at": attained_at,
        "joint_at_most": joint_at_most,
        "min_valid": min_valid,
        "spread_above": spread_above,
    }
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if min_valid == "half":
        changed["min_valid"] = None
    asked = {**stage.config["mine"], **changed}
    return asdict(replay(stage, parse_rule(asked, stage, keeps_noise=spread_above is None)))


@router.get("/runs/{run_id}/ceiling", response=CeilingOut)
def get_ceiling(
    request: Request, run_id: Id, round: Round = 1, bars: Axis = None, line: Axis = None
) -> dict[str, Any]:
    """How far rewards reach on the round's prompts, before and after rewriting. What is not given
    is the page's choice: helpful and harmless, else the first dimensions, never the same twice."""
    stage = _stage(run_for(request.auth, run_id), round)
    names: list[str] = stage.config["dimensions"]
    for asked in (bars, line):
        if asked is not None and asked not in names:
            known = ", ".join(names)
            raise HttpError(422, f"the round has no dimension {asked!r}; it has {known}")
    bars, line = axes_of(names, bars, line)
    at = names.index(bars), names.index(line)
    side, _ = mining_side(stage, *at)
    arms = arms_of(stage)
    own = next((a for a in arms if a.run_id == stage.run_id and a.strategy != "none"), None)
    fresh = fresh_for(arms, own)
    found = before_after(stage, arms, own, fresh, *at) if own and fresh else None
    return {
        "dimensions": names,
        "bars": bars,
        "line": line,
        "sample": {**asdict(side), "numbers": asdict(mining_numbers(stage))},
        "compared": asdict(found) if found else None,
    }


def _stage(run: Run, number: int) -> Stage:
    """The finished stage of mining of a run's round."""
    found = [s for s in mined_stages(run.project) if (s.run_id, s.round) == (run.pk, number)]
    if not found:
        raise Http404("this round of the run has mined nothing yet")
    return found[0]
