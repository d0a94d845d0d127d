"""What the arms of the Compare page are called: by their runs without the seed, start policies by
their policy, imported ones by their label, with their set where another has that."""

import json
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

from alignment.models import Stage

NUMBER_AT_END = re.compile(r"[ _-]*\d+$")
SEED_IN_NAME = re.compile(r"[ _-]*seed[ _-]*\d+", re.IGNORECASE)


def start_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's configuration decides the evaluation of its start policy, but the seed."""
    evaluate = {**config["evaluate"], "compare": {}}
    sample = {**config["sample"], "n": evaluate["n"]}
    return {"policy": config["policy"], "evaluate": evaluate, "sample": sample}


def arm_name(
    stages: Sequence[Stage],
    taken: Container[str],
    starts: Mapping[str, Mapping[str, Any]],
    *,
    untrained: bool,
) -> str:
    """A name that is not taken, of the stages that have or reuse an arm's evaluations; starts: by
    the name of a start policy's arm its run's configuration; untrained: of runs whose rounds
    trained nothing."""
    stage = stages[0]
    if stage.round == 0:
        name = _start_name(stage.run.config, starts)
    else:
        run = _common([s.run.name for s in stages])
        name = run if is_last(stage) else f"{run}, round {stage.round}"
        name += " (not trained)" if untrained else ""
    return _unique(name, taken)


def is_last(stage: Stage) -> bool:
    """Whether the stage is of its run's last round, whose arm has the run's name alone."""
    return bool(stage.round == len(stage.run.config["rounds"]))


def _common(runs: Sequence[str]) -> str:
    """The runs' name without the seed, or without the number in which alone they differ."""
    names = list(dict.fromkeys(SEED_IN_NAME.sub("", run).strip() or run for run in runs))
    numbered = {NUMBER_AT_END.sub("", name) for name in names}
    return (numbered.pop() if len(names) > 1 and len(numbered) == 1 else "") or names[0]


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
