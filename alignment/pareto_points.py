"""Where policies stand on the two dimensions chosen on the Results page, and their front."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse

from alignment.method.pareto import front_mask
from alignment.queries.points import Point
from alignment.queries.results import Interval
from alignment.queries.results_page import ResultsPage


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A point on the chosen axes. evaluation: id of the first; arm: points of one share a colour,
    a run's do; rounds: by run the first after which it evaluated this policy; address: of the run's
    page, where it is of one; at: where it is on the prompts that it is compared on, None where it
    is with none, by half of the prompts (apart) or for want of a mean there."""

    evaluation: int
    name: str
    address: str | None
    arm: str
    rounds: dict[int, int]
    x: float
    y: float
    x_ci: Interval
    y_ci: Interval
    at: tuple[float, float] | None
    apart: bool


def placed(page: ResultsPage) -> list[Placed]:
    points = page.shown.points if page.shown else []
    return [p for p in (_place(point, page) for point in points) if p is not None]


def _place(point: Point, page: ResultsPage) -> Placed | None:
    x, y = point.row.rewards[page.x], point.row.rewards[page.y]
    if x.mean is None or y.mean is None:
        return None
    stages = [e.stage for e in point.row.evaluations if e.stage]
    rounds: dict[int, int] = {}
    for stage in stages:
        rounds[stage.run_id] = min(stage.round, rounds.get(stage.run_id, stage.round))
    run = next(iter(rounds)) if len(rounds) == 1 else None
    return Placed(
        evaluation=point.row.evaluation.pk,
        name=point.row.name,
        address=reverse("run", args=[page.project.slug, run]) if run else None,
        arm=f"run {run}" if run else f"policy {point.row.evaluation.policy_id}",
        rounds=rounds,
        x=x.mean,
        y=y.mean,
        x_ci=x.mean_ci or (x.mean, x.mean),
        y_ci=y.mean_ci or (y.mean, y.mean),
        at=_compared_at(point, page),
        apart=point.apart,
    )


def _compared_at(point: Point, page: ResultsPage) -> tuple[float, float] | None:
    x, y = point.means[page.x], point.means[page.y]
    return None if x is None or y is None else (x, y)


def front_of(points: Sequence[Placed]) -> list[Placed]:
    """The points that no compared one dominates on the chosen axes."""
    compared = [(p, p.at) for p in points if p.at]
    mask = front_mask([at for _, at in compared])
    return [p for (p, _), on in zip(compared, mask, strict=True) if on]
