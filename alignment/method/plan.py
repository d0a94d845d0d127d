"""From a run's configuration to its linear list of stages, and the fingerprint of each.

Pure: the same configuration always gives the same plan. Which prompts a stage works on, and its
chunks, are decided when the stage starts, since later stages work on what earlier ones found.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from alignment.method.config import RunConfig

KINDS = (
    "sample",
    "score",
    "mine",
    "rewrite",
    "review",
    "resample",
    "rescore",
    "pair",
    "train",
    "evaluate",
)
# Raised when a kind's code changes what it computes, so that older results are not reused.
VERSIONS = {
    **dict.fromkeys(KINDS, 2),
    "mine": 1,
    "rewrite": 5,
    "review": 1,
    "resample": 1,
    "evaluate": 3,
}


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage: position in the run (from 0), round (0 is the start policy), kind, settings."""

    position: int
    round: int
    kind: str
    config: dict[str, Any]


def expand(config: RunConfig) -> tuple[StagePlan, ...]:
    """The stages of a run: the start policy's evaluation, then ten stages a round."""
    kinds = [(0, "evaluate")]
    kinds += [(number, kind) for number in range(1, len(config.rounds) + 1) for kind in KINDS]
    return tuple(
        StagePlan(position=i, round=r, kind=kind, config=settings(config, kind, r))
        for i, (r, kind) in enumerate(kinds)
    )


def settings(config: RunConfig, kind: str, number: int) -> dict[str, Any]:
    """What of the configuration decides this stage's result, and nothing else."""
    whole = config.model_dump(mode="json")
    sampling = {"sample": whole["sample"], "seed": config.seed}
    held_out = {"held_out": config.evaluate.every_set}
    if kind == "sample":
        chosen = config.rounds[number - 1]
        prompts = {"set": chosen.prompts, "limit": chosen.limit, **held_out}
        return {**sampling, "policy": config.policy, "prompts": prompts}
    if kind == "resample":
        n = config.resample_n or config.sample.n
        return {**sampling, "sample": {**whole["sample"], "n": n}}
    if kind in ("score", "rescore"):
        return {"judges": whole["judges"]}
    if kind == "mine":
        return {"dimensions": whole["dimensions"], "mine": whole["mine"], "seed": config.seed}
    if kind == "rewrite":
        asked = {"rewrite": whole["rewrite"], "prompts": held_out}
        return {**asked, "judges": whole["judges"], "seed": config.seed}
    if kind == "review":
        return {"review": _decisive(whole["review"]), "seed": config.seed}
    if kind == "pair":
        again = {} if config.pair.prompt == "rewrite" else {"judges": whole["judges"]}
        aim = _aim(whole, number)
        return {"pair": whole["pair"], "dimensions": whole["dimensions"], **again, **aim}
    if kind == "train":
        return {"train": whole["train"], "seed": config.seed}
    if kind == "evaluate":
        sample = {**whole["sample"], "n": config.evaluate.n}
        asked = whole["evaluate"] if number else {**whole["evaluate"], "compare": {}}
        return {**sampling, "sample": sample, "evaluate": asked, "policy": config.policy}
    raise ValueError(f"no stage of kind {kind!r}")


def judges_named(config: Mapping[str, Any]) -> set[str]:
    """Names of all judges in the settings of a run or of a stage."""
    evaluate = config.get("evaluate", {})
    chosen = (config.get("judges", {}), evaluate.get("judges", {}), evaluate.get("compare", {}))
    return {name for judges in chosen for name in judges.values()}


def _decisive(review: dict[str, Any]) -> dict[str, Any]:
    """What of a review's settings decides its result: nothing that people do when it is skipped,
    and never how long it stays open."""
    asked = ("mode", "audit_share", "overlap", "ratings")
    kept = asked[:2] if review["mode"] == "skip" else asked
    return {name: review[name] for name in kept}


def _aim(whole: dict[str, Any], number: int) -> dict[str, Any]:
    """Focus, the dimensions aligned before it (a simultaneous round aligns all), and weights
    (equal when none are given)."""
    a_round = whole["rounds"][number - 1]
    equal = 1 / len(whole["dimensions"])
    foci = [r["focus"] for r in whole["rounds"][: number - 1]]
    earlier = {*(whole["dimensions"] if None in foci else foci)} - {a_round["focus"]}
    return {
        "focus": a_round["focus"],
        "aligned": sorted(earlier),
        "weights": a_round["weights"] or dict.fromkeys(whole["dimensions"], equal),
    }


def fingerprint(stage: StagePlan, inputs: dict[str, str | None]) -> str:
    """SHA-256 over the stage's kind, code version, round, settings and its inputs' fingerprints."""
    facts = [stage.kind, VERSIONS[stage.kind], stage.round, stage.config, inputs]
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
