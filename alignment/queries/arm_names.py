"""What the arms of the Compare page are called: by their runs without the seed, start policies by
their policy, imported ones by their label, with their set where another has that."""

import json
import re
from collections.abc import Container, Mapping
from typing import Any

from alignment.models import Stage

SEED_IN_NAME = re.compile(r"[ _-]*seed[ _-]*\d+", re.IGNORECASE)


def start_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's configuration decides the evaluation of its start policy, but the seed."""
    evaluate = {**config["evaluate"], "compare": {}}
    sample = {**config["sample"], "n": evaluate["n"]}
    return {"policy": config["policy"], "evaluate": evaluate, "sample": sample}


def arm_name(
    stage: Stage,
    taken: Container[str],
    starts: Mapping[str, Mapping[str, Any]],
    *,
    untrained: bool,
) -> str:
    """A name that is not taken, of the stage that has or reuses an evaluation; starts: by the name
    of a start policy's arm its run's configuration; untrained: of runs whose rounds trained
    nothing."""
    if stage.round == 0:
        name = _start_name(stage.run.config, starts)
    else:
        run = SEED_IN_NAME.sub("", stage.run.name).strip() or stage.run.name
        last = stage.round == len(stage.run.config["rounds"])
        name = run if last else f"{run}, round {stage.round}"
        name += " (not trained)" if untrained else ""
    return _unique(name, taken)


def imported_name(label: str, prompt_set: str, taken: Container[str]) -> str:
    """A name that is not taken, of an imported evaluation on prompts of a set."""
    return _unique(f"{label} ({prompt_set})" if label in taken else label, taken)


def _unique(name: str, taken: Container[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    return unique


def _start_name(config: Mapping[str, Any], starts: Mapping[str, Mapping[str, Any]]) -> str:
    """The policy's name; where an arm of the policy has it, with what is otherwise in this one."""
    policy: str = config["policy"]
    if policy not in starts:
        return policy
    own, other = _flat(start_facts(config)), _flat(start_facts(starts[policy]))
    told = [
        f"no {name}" if value is None else f"{name} {value}"
        for name, value in own.items()
        if other.get(name) != value
    ]
    return f"{policy} ({', '.join(told)})" if told else policy


def _flat(facts: Mapping[str, Any]) -> dict[str, str | None]:
    """Settings by name, those of each dimension by its name."""
    flat: dict[str, str | None] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= _flat(value)
        else:
            flat[name] = value if value is None or isinstance(value, str) else json.dumps(value)
    return flat
