"""The arms that the Compare page compares: runs whose configurations differ in nothing but the seed
are one; so are imported policies by name."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignment.models import Evaluation, Project, Stage
from alignment.queries.results import finished_evaluations

SEED_IN_NAME = re.compile(r"[ _-]*seed[ _-]*\d+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class CompareArm:
    """Evaluations of one method at one setting after one round, by seed. share: of the pairs that
    it was trained on; start: the key of the arm of its start policy, empty for imported ones;
    sweep: equal for arms that differ in their share alone."""

    name: str
    evaluations: dict[int, Evaluation]
    judged: tuple[int, ...]
    prompts: str
    round: int
    config: str
    start: str
    share: float
    sweep: str


def arms_of(project: Project) -> list[CompareArm]:
    """The project's arms, the one with the newest evaluation first."""
    groups: dict[tuple[str, int], list[Evaluation]] = {}
    for evaluation in finished_evaluations(project).order_by("pk"):
        stage = evaluation.stage
        key = (_key(stage), stage.round) if stage else (f"imported {evaluation.label}", 1)
        groups.setdefault(key, []).append(evaluation)
    found: list[CompareArm] = []
    for (config, number), own in groups.items():
        name = _name(own[0], {a.name for a in found})
        found.append(_arm(name, config, number, own))
    return sorted(found, key=lambda a: -max(e.pk for e in a.evaluations.values()))


def _arm(name: str, config: str, number: int, own: list[Evaluation]) -> CompareArm:
    stage = own[0].stage
    whole: dict[str, Any] = stage.run.config if stage else {}
    train = whole.get("train", {})
    rest = {**whole, "seed": 0, "train": {**train, "pairs_share": 1}}
    return CompareArm(
        name=name,
        evaluations={(e.stage.run.config["seed"] if e.stage else 0): e for e in own},
        judged=tuple(sorted(judge.pk for judge in own[0].judges.all())),
        prompts=_sets(whole["evaluate"]) if whole else "imported",
        round=number,
        config=config,
        start=_start_key(whole) if whole else "",
        share=float(train.get("pairs_share", 1.0)),
        sweep=json.dumps(rest, sort_keys=True),
    )


def _sets(evaluate: Mapping[str, Any]) -> str:
    """The held-out sets: of all dimensions, and of those with one of their own."""
    own = (f"{name}: {held_out}" for name, held_out in sorted(evaluate.get("sets", {}).items()))
    return ", ".join([str(evaluate["prompts"]), *own])


def _key(stage: Stage) -> str:
    """Equal for runs that differ in their seed alone; a start policy's by what evaluates it."""
    config = {**stage.run.config, "seed": 0}
    return json.dumps(config, sort_keys=True) if stage.round else _start_key(config)


def _start_key(config: Mapping[str, Any]) -> str:
    """Equal for runs whose start policy is the same, and evaluated alike."""
    evaluate = {**config["evaluate"], "compare": {}}
    facts = {"policy": config["policy"], "evaluate": evaluate, "sample": config["sample"]}
    return json.dumps(facts, sort_keys=True)


def _name(evaluation: Evaluation, taken: set[str]) -> str:
    """A name that no other arm has: of its run without the seed, and the round."""
    stage = evaluation.stage
    if stage is None:
        name = evaluation.label
    elif stage.round == 0:
        name = "start"
    else:
        run = SEED_IN_NAME.sub("", stage.run.name).strip() or stage.run.name
        last = stage.round == len(stage.run.config["rounds"])
        name = run if last else f"{run}, round {stage.round}"
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    return unique
