"""Values that the run form starts from, by the names of its fields: of a project, of another run,
or with a round more or less."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet

from alignment.models import Project
from alignment.queries.projects import prompt_sets
from alignment.schema_fields import SECTIONS

Values = dict[str, Any]
MOST_ROUNDS = 32


def filled_sets(project: Project) -> "QuerySet[Any]":
    """The project's prompt sets with seeds in them."""
    return prompt_sets(project).filter(seeds__gt=0)


def flat(config: Mapping[str, Any]) -> Values:
    """A configuration's values by the names of the form's fields."""
    values: Values = {name: config[name] for name in ("policy", "seed", "resample_n")}
    values["dimensions"] = list(config["dimensions"])
    values |= {f"judges.{name}": judge for name, judge in config["judges"].items()}
    for section in (*SECTIONS, "evaluate"):
        for name, value in config[section].items():
            if name not in ("judges", "sets", "noise", "compare"):
                values[f"{section}.{name}"] = value
    values |= {f"evaluate.judges.{n}": judge for n, judge in config["evaluate"]["judges"].items()}
    noise = config["mine"].get("noise", {})
    values |= {f"mine.noise.{name}": value for name, value in noise.items()}
    for own in ("sets", "compare"):
        chosen = config["evaluate"].get(own, {})
        values |= {f"evaluate.{own}.{n}": name for n, name in chosen.items()}
    for i, a_round in enumerate(config["rounds"]):
        weights = a_round.get("weights") or {}
        values |= {
            f"rounds.{i}.{name}": a_round.get(name) for name in ("prompts", "focus", "limit")
        }
        values |= {f"rounds.{i}.weights.{name}": weight for name, weight in weights.items()}
    return values


def defaults(project: Project) -> Values:
    """Values to start from: a round for each dimension, evaluation on the set named `held-out`,
    else the newest, mining on the others in turn, and the judges of the newest run."""
    sets = [s.name for s in filled_sets(project).order_by("pk")]
    sets.sort(key=lambda name: name == "held-out")
    mined = sets[:-1] or sets or [""]
    names = list(project.dimensions.values_list("name", flat=True))
    values: Values = {"dimensions": names, "evaluate.prompts": sets[-1] if sets else ""}
    for i, name in enumerate(names):
        values |= {f"rounds.{i}.prompts": mined[i % len(mined)], f"rounds.{i}.focus": name}
    if newest := project.runs.order_by("-pk").first():
        judges = ("judges.", "evaluate.judges.")
        values |= {n: v for n, v in flat(newest.config).items() if n.startswith(judges)}
    return {**values, "name": free_name(project)}


def free_name(project: Project) -> str:
    """A name that no run of the project has."""
    taken = set(project.runs.values_list("name", flat=True))
    number = len(taken) + 1
    while f"mora-{number}" in taken:
        number += 1
    return f"mora-{number}"


def with_rounds_changed(values: Values, change: str) -> Values:
    """The values with a round added like the last (`add`), or one left out (its index)."""
    count = rounds_named(values)
    order = list(range(count))
    if change == "add" and count < MOST_ROUNDS:
        order.append(count - 1)
    elif change.isdecimal() and count > 1:
        order = [i for i in order if i != int(change)]
    kept = {name: v for name, v in values.items() if not name.startswith("rounds.")}
    for new, old in enumerate(order):
        prefix = f"rounds.{old}."
        own = {name: v for name, v in values.items() if name.startswith(prefix)}
        kept |= {f"rounds.{new}.{name.removeprefix(prefix)}": v for name, v in own.items()}
    return kept


def rounds_named(names: Iterable[str]) -> int:
    """How many rounds the names speak of."""
    return sum(bool(re.fullmatch(r"rounds\.\d+\.prompts", name)) for name in names)
