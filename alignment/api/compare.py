"""Arms compared over their seeds, as the Compare page shows them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from ninja import Query, Router, Schema
from ninja.errors import ValidationError

from alignment.api.access import project_for
from alignment.api.auth import Request
from alignment.api.pages import Slug
from alignment.queries.compare_page import ComparePage, compare_page
from alignment.queries.compare_tables import Targets

router = Router(tags=["compare"])
Name = Annotated[str, Query(max_length=200)]
Arms = Annotated[
    list[str] | None, Query(description="arms beside the base, repeated; none for all that fit")
]
Aims = Annotated[
    list[str] | None, Query(description="`DIMENSION:NUMBER`, repeated; the base's mean for others")
]


class TaxOut(Schema):
    """`tax` by round and dimension; `to_start`: after the last round, less the start policy."""

    rounds: list[str]
    tax: list[dict[str, float | None]]
    to_start: dict[str, float | None]


class FeasibleOut(Schema):
    """Whether the rollouts of the arm `source`, reweighed, reach all `targets` (MAP). `slack`: by
    how much, negative out of reach; `weights`: null out of reach; `without`: dimensions without a
    target; `feasible` is null where there are any, or for the reason in `problem`."""

    source: str
    targets: dict[str, str]
    without: list[str]
    problem: str
    feasible: bool | None
    slack: float | None
    weights: dict[str, float] | None


class SweepOut(Schema):
    """Mean rewards by number of pairs, over arms that differ in their share of the pairs alone."""

    pairs: list[float]
    shares: list[float]
    rewards: dict[str, list[float | None]]


class CompareOut(Schema):
    """`comparison`: null where nothing fits, for the reason in `problem`; `options`: arms that
    `arm` may name; `left_out`: arms with other seeds, or for room; `apart`: arms of other judges,
    other versions of one, or other prompts; `seeds`: of each arm's `by_seed`, in order; `unused`:
    the base's that not every arm has; `answered`: by arm how many prompts it answered, where those
    of another are not compared for it; `untrained`: by arm the seeds whose rounds trained nothing;
    `winless`: why the arms have no `wins`; `tax`: of the base's rounds; `accepted`: how many
    prompts the arms were trained on the rewrites of, and how many are in all of them; null where
    those are the same."""

    comparison: dict[str, Any] | None
    options: list[str]
    left_out: list[str]
    apart: list[str]
    problem: str
    seeds: list[int]
    unused: list[int]
    answered: dict[str, int]
    untrained: dict[str, list[int]]
    winless: str
    tax: TaxOut | None
    feasible: FeasibleOut | None
    sweep: SweepOut | None
    accepted: dict[str, Any] | None


@router.get("/projects/{slug}/compare", response=CompareOut)
def compare_arms(
    request: Request, slug: Slug, base: Name = "", arm: Arms = None, target: Aims = None
) -> dict[str, Any]:
    """Arms over their seeds, with paired differences to the base (by default the newest arm
    that another can stand beside)."""
    targets = dict(_target(text) for text in target or ())
    asked = {"base": base, **{f"target.{name}": value for name, value in targets.items()}}
    page = compare_page(project_for(request.auth, slug), asked, arm or ())
    if page.unknown:
        raise _refused("arm", f"there is no arm {', '.join(page.unknown)}")
    if page.targets and (other := targets.keys() - page.targets.values.keys()):
        raise _refused("target", f"there is no dimension {', '.join(sorted(other))}")
    return {
        "comparison": asdict(page.comparison) if page.comparison else None,
        "options": page.options,
        "left_out": page.left_out,
        "apart": page.apart,
        "problem": page.problem,
        "seeds": page.seeds,
        "unused": page.unused,
        "answered": page.answered,
        "untrained": page.untrained,
        "winless": page.winless,
        "tax": _tax(page),
        "feasible": _feasible(page.targets) if page.targets else None,
        "sweep": asdict(page.sweep) if page.sweep else None,
        "accepted": asdict(page.accepted) if page.accepted else None,
    }


def _target(text: str) -> tuple[str, str]:
    name, _, value = text.rpartition(":")
    try:
        known = bool(name) and 0 <= float(value) <= 1
    except ValueError:
        known = False
    if not known:
        raise _refused("target", "a target is DIMENSION:NUMBER, from 0 to 1")
    return name, value


def _refused(parameter: str, message: str) -> ValidationError:
    return ValidationError([{"loc": ("query", parameter), "msg": message, "type": "value_error"}])


def _tax(page: ComparePage) -> dict[str, Any] | None:
    if page.tax is None or page.comparison is None:
        return None
    names = page.comparison.dimensions

    def named(row: Sequence[float | None]) -> dict[str, float | None]:
        return dict(zip(names, row, strict=True))

    tax = [named(row) for row in page.tax.tax]
    return {"rounds": page.rounds, "tax": tax, "to_start": named(page.tax.to_start)}


def _feasible(targets: Targets) -> dict[str, Any]:
    found = targets.found
    weights = found.weights if found else None
    return {
        "source": targets.source,
        "targets": targets.values,
        "without": targets.without,
        "problem": targets.problem,
        "feasible": found.feasible if found else None,
        "slack": found.slack if found else None,
        "weights": dict(zip(targets.values, weights, strict=True)) if weights else None,
    }
