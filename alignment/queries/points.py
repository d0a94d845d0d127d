"""The points of a project: its policies' mean reward vectors, their front and contributions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignment.method import pareto as fronts
from alignment.models import Project
from alignment.queries.asked import Asked
from alignment.queries.results import PolicyRow, finished_evaluations, pooled_table
from alignment.queries.scores import Judged

MOST_EVALUATIONS = 200


@dataclass(frozen=True, kw_only=True)
class Point:
    """A policy beside those it may be compared with, all on the prompts that each of them answered.

    means: the mean rewards by dimension there, None without any; common: how many those are, where
    some answered more, else None; on_front: no compared policy's means dominate these;
    contribution: the hypervolume lost without them. Both are None where a dimension has no mean,
    and where the policy is apart: it answered fewer than half of the prompts, and is compared with
    none.
    """

    row: PolicyRow
    means: dict[str, float | None]
    common: int | None
    on_front: bool | None
    contribution: float | None
    apart: bool


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
    groups: dict[tuple[Judged, Asked], list[PolicyRow]] = {}
    for row in table:
        groups.setdefault(row.comparison, []).append(row)
    for group in groups.values():
        keys = [frozenset(row.by_prompt) for row in group if not _is_apart(row)]
        common = frozenset.intersection(*keys) if keys else frozenset()
        is_less = any(own != common for own in keys)
        means = [_means(row, frozenset() if _is_apart(row) else common) for row in group]
        known = {i: own for i, own in enumerate(map(_vector, means)) if own}
        mask = dict(zip(known, fronts.front_mask([*known.values()]).tolist(), strict=True))
        lost = dict(zip(known, fronts.contributions([*known.values()]).tolist(), strict=True))
        for i, row in enumerate(group):
            yield Point(
                row=row,
                means=means[i],
                common=len(common) if is_less else None,
                on_front=mask.get(i),
                contribution=lost.get(i),
                apart=_is_apart(row),
            )


def _is_apart(row: PolicyRow) -> bool:
    _, asked = row.comparison
    return 2 * row.prompts < asked.prompts


def _means(row: PolicyRow, prompts: frozenset[int]) -> dict[str, float | None]:
    """The row's mean rewards over prompts that it answered."""
    if len(prompts) == len(row.by_prompt):
        return {name: f.mean for name, f in row.rewards.items()}
    cells = np.array([row.by_prompt[key] for key in sorted(prompts)])
    columns = [own[np.isfinite(own)] for own in cells.reshape(-1, len(row.rewards)).T]
    means = (float(own.mean()) if own.size else None for own in columns)
    return dict(zip(row.rewards, means, strict=True))


def _vector(means: dict[str, float | None]) -> list[float]:
    """The means; none where a dimension has none."""
    known = [mean for mean in means.values() if mean is not None]
    return known if len(known) == len(means) else []
