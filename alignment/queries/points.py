"""The points of a project: its policies' mean reward vectors, their front and contributions."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from alignment.method import pareto as fronts
from alignment.models import Project
from alignment.queries.results import PolicyRow, finished_evaluations, pooled_table

MOST_EVALUATIONS = 200


@dataclass(frozen=True, kw_only=True)
class Point:
    """A policy's mean reward vector beside those it may be compared with.

    on_front: no compared point dominates it; contribution: the hypervolume lost without it. Both
    are None where a dimension has no mean, and where the policy is apart: it did not answer the
    prompts that most of the others did, so that its means are of others than theirs.
    """

    row: PolicyRow
    on_front: bool | None = None
    contribution: float | None = None
    apart: bool = False


def pareto(project: Project) -> list[Point]:
    """The policies of a project's latest evaluations as points, oldest first, with front and
    contributions.

    Fronts are taken among evaluations that were asked the same prompts and judged by the same
    versions of the same judges.
    """
    latest = finished_evaluations(project).order_by("-pk")[:MOST_EVALUATIONS]
    table = pooled_table(reversed(latest))
    placed = {point.row.evaluation.pk: point for point in _placed(table)}
    return [placed[row.evaluation.pk] for row in table]


def _placed(table: list[PolicyRow]) -> Iterator[Point]:
    """The points, each among those it is compared with."""
    groups: dict[object, list[PolicyRow]] = {}
    for row in table:
        groups.setdefault(row.comparison, []).append(row)
    for group in groups.values():
        times = Counter(row.answered for row in group)
        usual = max(group, key=lambda row: (times[row.answered], row.prompts)).answered
        vectors = {i: _vector(row) for i, row in enumerate(group) if row.answered == usual}
        known = {i: vector for i, vector in vectors.items() if vector}
        points = list(known.values())
        mask = dict(zip(known, fronts.front_mask(points).tolist(), strict=True))
        lost = dict(zip(known, fronts.contributions(points).tolist(), strict=True))
        for i, row in enumerate(group):
            apart = row.answered != usual
            yield Point(row=row, on_front=mask.get(i), contribution=lost.get(i), apart=apart)


def _vector(row: PolicyRow) -> list[float]:
    """The mean rewards; none where a dimension has no mean."""
    means = [f.mean for f in row.rewards.values() if f.mean is not None]
    return means if len(means) == len(row.rewards) else []
