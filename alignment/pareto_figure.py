"""The Pareto plot: policies as points on two dimensions with their intervals and their front."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from alignment.figures import Plot, axis, layout, two_digits
from alignment.method.pareto import front_mask
from alignment.plot_labels import LINE, Spot, labels
from alignment.queries.points import Point
from alignment.queries.results import Interval
from alignment.queries.results_page import ResultsPage


def pareto_plot(page: ResultsPage) -> Plot:
    """The shown policies on two dimensions, mean rewards with 95 % intervals, and their front.

    The front is of these two dimensions; a run's policies share a colour, and a thin line joins
    them, and the start policy that it may share with others, in the order of its rounds. One
    dimension alone has no front: its words stand for it.
    """
    if page.x == page.y:
        return Plot(figure={}, finding=_of_one(page))
    points = _placed(page)
    if not points:
        return Plot(figure={}, finding="No policy has a mean on both dimensions.")
    front = _front(points)
    line = [_front_line(front)] if len(points) > 1 else []
    ranges = _ranges(points)
    traces = [*line, *_paths(points), *_markers(points, _labels(points, front, ranges))]
    whole = layout(
        xaxis=axis(f"{page.x}, mean reward (0 to 1)"),
        yaxis=axis(f"{page.y}, mean reward (0 to 1)"),
    )
    whole["xaxis"]["range"], whole["yaxis"]["range"] = ranges
    if line:
        whole["annotations"] = [_front_label(front)]
    # Other axes are another picture: their zoom is not kept.
    whole["uirevision"] = page.address
    return Plot(figure={"data": traces, "layout": whole}, finding=_finding(page, points, front))


def pareto_marks(page: ResultsPage) -> dict[int, tuple[str, str]]:
    """Colour and shape of each evaluation's mark in the plot, by id; a plot too narrow for labels
    is read by them."""
    points = _placed(page) if page.x != page.y else []
    return {
        p.evaluation: (colour, SHAPES[_shape(p)][p.apart])
        for colour, own in _by_arm(points)
        for p in own
    }


# Rounds by shape, so that colour is not all that tells them apart: Plotly's name and characters,
# filled and hollow.
SHAPES = {
    "circle": "●○",
    "square": "■□",
    "diamond": "◆◇",
    "triangle-up": "▲△",
    "cross": "✚✛",
    "star": "★☆",
}
FRONT_WIDTH = 0.05  # of the word at the line's end, as a share of the plot


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A point on the chosen axes. evaluation: id of the first; arm: points of one share a colour,
    a run's do; rounds: by run the first after which it evaluated this policy; address: of the run's
    page, where it is of one; apart: compared with none."""

    evaluation: int
    name: str
    address: str | None
    arm: str
    rounds: dict[int, int]
    x: float
    y: float
    x_ci: Interval
    y_ci: Interval
    apart: bool


def _placed(page: ResultsPage) -> list[_Placed]:
    points = page.shown.points if page.shown else []
    return [p for p in (_place(point, page) for point in points) if p is not None]


def _place(point: Point, page: ResultsPage) -> _Placed | None:
    x, y = point.row.rewards[page.x], point.row.rewards[page.y]
    if x.mean is None or y.mean is None:
        return None
    stages = [e.stage for e in point.row.evaluations if e.stage]
    rounds: dict[int, int] = {}
    for stage in stages:
        rounds[stage.run_id] = min(stage.round, rounds.get(stage.run_id, stage.round))
    run = next(iter(rounds)) if len(rounds) == 1 else None
    return _Placed(
        evaluation=point.row.evaluation.pk,
        name=point.row.name,
        address=reverse("run", args=[page.project.slug, run]) if run else None,
        arm=f"run {run}" if run else f"policy {point.row.evaluation.policy_id}",
        rounds=rounds,
        x=x.mean,
        y=y.mean,
        x_ci=x.mean_ci or (x.mean, x.mean),
        y_ci=y.mean_ci or (y.mean, y.mean),
        apart=point.apart,
    )


def _front(points: Sequence[_Placed]) -> list[_Placed]:
    """The points that no compared one dominates on the chosen axes."""
    compared = _compared(points)
    mask = front_mask([(p.x, p.y) for p in compared])
    return [p for p, on in zip(compared, mask, strict=True) if on]


def _compared(points: Sequence[_Placed]) -> list[_Placed]:
    return [p for p in points if not p.apart] or list(points)


def _front_line(front: Sequence[_Placed]) -> dict[str, Any]:
    """The staircase below which everything is dominated."""
    corners = sorted({(p.x, p.y) for p in front})
    xs, ys = [0.0], [corners[0][1]]
    for i, (x, y) in enumerate(corners):
        below = corners[i + 1][1] if i + 1 < len(corners) else 0.0
        xs += [x, x]
        ys += [y, below]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "front",
        "x": xs,
        "y": ys,
        "line": {"color": "var(--faint)", "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _front_label(front: Sequence[_Placed]) -> dict[str, Any]:
    """The word `front`, at the left end of the line."""
    return {
        "xref": "paper",
        "x": 0,
        "y": max(p.y for p in front),
        "text": "front",
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "bottom",
        "xshift": 4,
        "font": {"color": "var(--faint)"},
    }


def _paths(points: Sequence[_Placed]) -> Iterable[dict[str, Any]]:
    colours = {p.evaluation: colour for colour, own in _by_arm(points) for p in own}
    for run in dict.fromkeys(run for p in points for run in p.rounds):
        steps = sorted((p for p in points if run in p.rounds), key=lambda p: p.rounds[run])
        if len(steps) > 1:
            yield {
                "type": "scatter",
                "mode": "lines",
                "x": [p.x for p in steps],
                "y": [p.y for p in steps],
                "line": {"color": colours[steps[-1].evaluation], "width": 1},
                "opacity": 0.45,
                "hoverinfo": "skip",
            }


def _markers(
    points: Sequence[_Placed], told: Sequence[tuple[str, str]]
) -> Iterable[dict[str, Any]]:
    """Points with their labels; told: of each point its text and where that stands."""
    label = {id(p): own for p, own in zip(points, told, strict=True)}
    for colour, own in _by_arm(points):
        yield {
            "type": "scatter",
            "mode": "markers+text",
            "x": [p.x for p in own],
            "y": [p.y for p in own],
            "text": [label[id(p)][0] for p in own],
            "hovertext": [p.name for p in own],
            "textposition": [label[id(p)][1] for p in own],
            "marker": {"color": colour, "size": 11, "symbol": [_symbol(p) for p in own]},
            "error_x": _bars(colour, [p.x for p in own], [p.x_ci for p in own]),
            "error_y": _bars(colour, [p.y for p in own], [p.y_ci for p in own]),
            "customdata": [p.address for p in own],
            "hovertemplate": "%{hovertext}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
            "cliponaxis": False,
        }


def _labels(
    points: Sequence[_Placed], front: Sequence[_Placed], ranges: tuple[list[float], list[float]]
) -> list[tuple[str, str]]:
    """Texts and their places; where all points are of one run, without what they share."""
    alone = len(points) > 1 and len({p.arm for p in points}) == 1
    (left, right), (low, high) = ranges
    top = (max(p.y for p in front) - low) / (high - low)
    return labels(
        [
            Spot(
                name=p.name.rpartition(": ")[2] if alone else p.name,
                x=(p.x - left) / (right - left),
                y=(p.y - low) / (high - low),
                on_front=p in front,
            )
            for p in points
        ],
        taken=[(0.0, top, FRONT_WIDTH, top + LINE)],
    )


def _by_arm(points: Sequence[_Placed]) -> list[tuple[str, list[_Placed]]]:
    arms = list(dict.fromkeys(p.arm for p in points))
    return [
        (f"var(--arm-{(i + 1) % 6})", [p for p in points if p.arm == arm])
        for i, arm in enumerate(arms)
    ]


def _shape(point: _Placed) -> str:
    return list(SHAPES)[min(point.rounds.values(), default=0) % len(SHAPES)]


def _symbol(point: _Placed) -> str:
    return f"{_shape(point)}{'-open' if point.apart else ''}"


def _bars(colour: str, values: list[float], ends: list[Interval]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - v for v, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [v - low for v, (low, _) in zip(values, ends, strict=True)],
        "color": colour,
        "thickness": 1.4,
        "width": 0,
    }


def _ranges(points: Sequence[_Placed]) -> tuple[list[float], list[float]]:
    """Axes that hold every interval, within what rewards can be and a little air."""
    return _range([p.x_ci for p in points]), _range([p.y_ci for p in points])


def _range(ends: Sequence[Interval]) -> list[float]:
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    air = 0.1 * max(high - low, 0.05)
    return [max(low - air, -0.03), min(high + air, 1.03)]


def _of_one(page: ResultsPage) -> str:
    """What the policies come to on the one dimension that has scores."""
    points = [p for p in page.shown.points if not p.apart] if page.shown else []
    means = [(p.row.name, f.mean) for p in points for n, f in p.row.rewards.items() if n == page.x]
    known = [(name, mean) for name, mean in means if mean is not None]
    if not known:
        return "No policy has a score."
    name, mean = max(known, key=lambda one: one[1])
    told = f"Scores are on {page.x} alone, so there is no front to draw: {name}"
    if len(known) == 1:
        return f"{told} is at {two_digits(mean)}."
    chance = "Differences within the 95 % intervals may be chance."
    return f"{told} is best, at {two_digits(mean)}. {chance}"


def _finding(page: ResultsPage, points: Sequence[_Placed], front: Sequence[_Placed]) -> str:
    """What the plot shows, in words."""
    compared = _compared(points)
    told = _of_front(page, compared, front)
    apart = ", ".join(p.name for p in points if p not in compared)
    return f"{told} Hollow, for it left prompts unanswered: {apart}." if apart else told


def _of_front(page: ResultsPage, points: Sequence[_Placed], front: Sequence[_Placed]) -> str:
    if len(points) == 1:
        return f"One policy so far: {_at(page, points[0])}."
    if len(front) == 1:
        (other, *more) = [p.name for p in points if p is not front[0]]
        rest = f"the other {len(points) - 1}" if more else other
        told = f"{_at(page, front[0])}, dominates {rest}"
        return f"{told}. Differences within the 95 % bars may be chance."
    ends = sorted(front, key=lambda p: -p.x)
    return (
        f"{len(front)} of {len(points)} policies are on the front: {_at(page, ends[0])}, is best"
        f" on {page.x}; {_at(page, ends[-1])}, is best on {page.y}."
        " Differences within the 95 % bars may be chance."
    )


def _at(page: ResultsPage, point: _Placed) -> str:
    return f"{point.name}, at {two_digits(point.x)} {page.x} and {two_digits(point.y)} {page.y}"
