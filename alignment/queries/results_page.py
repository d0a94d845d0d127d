"""The Pareto page of a project: the points that may be compared, on the two dimensions chosen.

Evaluations by other judges, other versions of one, or on other prompts are other comparisons, never
on one plot.
Figures are computed in `queries.results`, fronts in `queries.points`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Count, Max, prefetch_related_objects

from alignment.models import Evaluation, Project, PromptSet
from alignment.queries import results
from alignment.queries.asked import Asked
from alignment.queries.points import Point, pareto
from alignment.queries.scores import Judged


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Points by the same versions of the same judges on the same prompts, so many of which were
    asked. `key` names it in addresses."""

    key: str
    title: str
    prompts: int
    judges: str
    points: list[Point]

    @property
    def evaluations(self) -> list[Evaluation]:
        return [e for point in self.points for e in point.row.evaluations]

    @property
    def dimensions(self) -> list[str]:
        return list(self.points[0].row.rewards)

    @property
    def measured(self) -> list[str]:
        """The dimensions on which a policy has a mean."""
        means = {
            name for p in self.points for name, f in p.row.rewards.items() if f.mean is not None
        }
        return [name for name in self.dimensions if name in means]


@dataclass(frozen=True, kw_only=True)
class ResultsPage:
    """The comparison shown, None before any evaluation; x and y are dimensions of it that are
    measured, the same where only one is."""

    project: Project
    comparisons: list[Comparison]
    shown: Comparison | None
    x: str
    y: str

    @property
    def address(self) -> str:
        """The query string that shows this again."""
        key = self.shown.key if self.shown else ""
        return urlencode({"on": key, "x": self.x, "y": self.y})


def results_page(project: Project, asked: Mapping[str, str]) -> ResultsPage:
    """The page for an address; what it does not name, or names wrongly, is chosen for it: the
    comparison with the newest evaluation, of those that have a front to draw if any has, and its
    first two dimensions."""
    comparisons = _comparisons(project)
    drawn = (c for c in comparisons if len(c.measured) > 1)
    usual = next(drawn, comparisons[0] if comparisons else None)
    shown = next((c for c in comparisons if c.key == asked.get("on")), usual)
    names = shown.measured if shown else []
    prefetch_related_objects(shown.evaluations if shown else [], "stage__reused_by__run")
    x = asked.get("x", "")
    x = x if x in names else next(iter(names), "")
    y = asked.get("y", "")
    y = y if y in names and y != x else next((name for name in names if name != x), x)
    return ResultsPage(project=project, comparisons=comparisons, shown=shown, x=x, y=y)


def version(project: Project) -> tuple[int | None, int]:
    """Changes when an evaluation is finished, imported or removed."""
    found = results.finished_evaluations(project).aggregate(newest=Max("pk"), n=Count("pk"))
    return found["newest"], found["n"]


def _comparisons(project: Project) -> list[Comparison]:
    """Comparisons with their points oldest first; that of the newest evaluation comes first."""
    groups: dict[tuple[Judged, Asked], list[Point]] = {}
    for point in pareto(project):
        groups.setdefault(point.row.comparison, []).append(point)
    sets = dict(PromptSet.objects.filter(project=project).values_list("pk", "name"))
    found = [
        Comparison(
            key=points[0].row.comparison_key,
            title=_title(points, sets),
            prompts=asked.prompts,
            judges=_judges(points[0], dict(judged)),
            points=points,
        )
        for (judged, asked), points in groups.items()
    ]
    return sorted(found, key=lambda c: -max(e.pk for e in c.evaluations))


def _title(points: Sequence[Point], sets: Mapping[int, str]) -> str:
    """Names of the sets that the prompts are from."""
    named = sorted({pk for point in points for pk in point.row.prompt_sets})
    return ", ".join(sets.get(pk, "prompts since removed") for pk in named)


def _judges(point: Point, versions: Mapping[int, int]) -> str:
    """Their names; of a judge that was edited, with the version that scored."""
    judges = sorted(point.row.evaluation.judges.all(), key=lambda judge: judge.name)
    return ", ".join(
        f"{j.name} (version {versions[j.pk]})" if j.version > 1 else j.name for j in judges
    )
