"""The Pareto plot: policies as points on two dimensions with their intervals and their front."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from alignment.figures import Plot, axis, layout
from alignment.method.pareto import front_mask
from alignment.queries.results import Interval, Point
from alignment.queries.results_page import ResultsPage


def pareto_plot(page: ResultsPage) -> Plot:
    """The shown policies on two dimensions, mean rewards with 95 % intervals, and their front.

    The front is of these two dimensions; each run's policies share a colour, and a thin line
    joins them in the order of its rounds.
    """
    points = _placed(page)
    if not points:
        return Plot(figure={}, finding="No policy has a mean on both dimensions.")
    front = [
        p for p, on in zip(points, front_mask([(p.x, p.y) for p in points]), strict=True) if on
    ]
    line = [_front_line(front)] if len(points) > 1 else []
    traces = [*line, *_paths(points), *_markers(points)]
    whole = layout(
        xaxis=axis(f"{page.x}, mean reward (0 to 1)"),
        yaxis=axis(f"{page.y}, mean reward (0 to 1)"),
    )
    whole["xaxis"]["range"], whole["yaxis"]["range"] = _ranges(points)
    if line:
        whole["annotations"] = [_front_label(front)]
    # Other axes are another picture: their zoom is not kept.
    whole["uirevision"] = page.address
    return Plot(figure={"data": traces, "layout": whole}, finding=_finding(page, points, front))


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A point on the chosen axes. run: what gives it its colour, with its page's address; None
    for an imported one."""

    name: str
    address: str | None
    run: int | None
    round: int
    x: float
    y: float
    x_ci: Interval
    y_ci: Interval


def _placed(page: ResultsPage) -> list[_Placed]:
    points = page.shown.points if page.shown else []
    return [p for p in (_place(point, page) for point in points) if p is not None]


def _place(point: Point, page: ResultsPage) -> _Placed | None:
    x, y = point.row.rewards[page.x], point.row.rewards[page.y]
    if x.mean is None or y.mean is None:
        return None
    stage = point.row.evaluation.stage
    return _Placed(
        name=point.row.name,
        address=reverse("run", args=[page.project.slug, stage.run_id]) if stage else None,
        run=stage.run_id if stage else None,
        round=stage.round if stage else 0,
        x=x.mean,
        y=y.mean,
        x_ci=x.mean_ci or (x.mean, x.mean),
        y_ci=y.mean_ci or (y.mean, y.mean),
    )


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
    for colour, own in _by_run(points):
        if own[0].run is not None and len(own) > 1:
            steps = sorted(own, key=lambda p: p.round)
            yield {
                "type": "scatter",
                "mode": "lines",
                "x": [p.x for p in steps],
                "y": [p.y for p in steps],
                "line": {"color": colour, "width": 1},
                "opacity": 0.45,
                "hoverinfo": "skip",
            }


def _markers(points: Sequence[_Placed]) -> Iterable[dict[str, Any]]:
    places = dict(zip(points, _label_places(points), strict=True))
    for colour, own in _by_run(points):
        yield {
            "type": "scatter",
            "mode": "markers+text",
            "x": [p.x for p in own],
            "y": [p.y for p in own],
            "text": [p.name for p in own],
            "textposition": [places[p] for p in own],
            "marker": {"color": colour, "size": 11, "symbol": [_shape(p) for p in own]},
            "error_x": _bars(colour, [p.x for p in own], [p.x_ci for p in own]),
            "error_y": _bars(colour, [p.y for p in own], [p.y_ci for p in own]),
            "customdata": [p.address for p in own],
            "hovertemplate": "%{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
            "cliponaxis": False,
        }


def _by_run(points: Sequence[_Placed]) -> list[tuple[str, list[_Placed]]]:
    runs = list(dict.fromkeys(p.run for p in points))
    return [
        (f"var(--arm-{i % 6})", [p for p in points if p.run == run])
        for i, run in enumerate(runs, start=0 if None in runs[:1] else 1)
    ]


def _shape(point: _Placed) -> str:
    """Rounds by shape, so that colour is not all that tells them apart."""
    return ("circle", "square", "diamond", "triangle-up", "cross", "star")[point.round % 6]


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
    """Axes that hold every interval and leave room for the labels."""
    found = []
    for ends, room in (([p.x_ci for p in points], 0.3), ([p.y_ci for p in points], 0.12)):
        low, high = min(e[0] for e in ends), max(e[1] for e in ends)
        span = max(high - low, 0.05)
        found.append([low - 0.08 * span, high + room * span])
    return found[0], found[1]


def _label_places(points: Sequence[_Placed]) -> list[str]:
    """A place for each label, on the side where the nearest other point is farthest away."""
    x_span = max(p.x for p in points) - min(p.x for p in points) or 1.0
    y_span = max(p.y for p in points) - min(p.y for p in points) or 1.0
    spots = [(p.x / x_span, p.y / y_span) for p in points]
    sides = {"top right": (0.12, 0.05), "bottom right": (0.12, -0.05)}
    places = []
    for i, (x, y) in enumerate(spots):
        others = spots[:i] + spots[i + 1 :]

        def room(side: str, x: float = x, y: float = y, others: Any = others) -> float:
            dx, dy = sides[side]
            gaps = ((x + dx - ox) ** 2 / 4 + (y + dy - oy) ** 2 for ox, oy in others)
            return min(gaps, default=1.0)

        places.append(max(sides, key=room))
    return places


def _finding(page: ResultsPage, points: Sequence[_Placed], front: Sequence[_Placed]) -> str:
    """What the plot shows, in words."""
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
    return f"{point.name}, at {point.x:.2f} {page.x} and {point.y:.2f} {page.y}"
