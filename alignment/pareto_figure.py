"""The Pareto plot: policies as points on two dimensions with their intervals and their front."""

from collections.abc import Iterable, Sequence
from typing import Any

from alignment.figures import Plot, axis, layout, two_digits
from alignment.pareto_points import Placed, front_of, placed
from alignment.plot_labels import LINE, Spot, labels
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
    points = placed(page)
    if not points:
        return Plot(figure={}, finding="No policy has a mean on both dimensions.")
    front = front_of(points)
    line = [_front_line(front)] if front and len(points) > 1 else []
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
    points = placed(page) if page.x != page.y else []
    return {
        p.evaluation: (colour, SHAPES[_shape(p)][p.at is None])
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
HOLLOW = {  # by whether a policy is apart
    True: "fewer than half of the prompts were answered",
    False: "no mean is known on the prompts that all answered",
}
NONE_SHARED = "No prompt was answered by all of these, so none are compared."
FRONT_WIDTH = 0.05  # of the word at the line's end, as a share of the plot


def _front_line(front: Sequence[Placed]) -> dict[str, Any]:
    """The staircase below which everything is dominated."""
    corners = sorted({p.at for p in front if p.at})
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


def _front_label(front: Sequence[Placed]) -> dict[str, Any]:
    """The word `front`, at the left end of the line."""
    return {
        "xref": "paper",
        "x": 0,
        "y": max(p.at[1] for p in front if p.at),
        "text": "front",
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "bottom",
        "xshift": 4,
        "font": {"color": "var(--faint)"},
    }


def _paths(points: Sequence[Placed]) -> Iterable[dict[str, Any]]:
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


def _markers(points: Sequence[Placed], told: Sequence[tuple[str, str]]) -> Iterable[dict[str, Any]]:
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
    points: Sequence[Placed], front: Sequence[Placed], ranges: tuple[list[float], list[float]]
) -> list[tuple[str, str]]:
    """Texts and their places; where all points are of one run, without what they share."""
    alone = len(points) > 1 and len({p.arm for p in points}) == 1
    (left, right), (low, high) = ranges
    top = (max((p.at[1] for p in front if p.at), default=low) - low) / (high - low)
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


def _by_arm(points: Sequence[Placed]) -> list[tuple[str, list[Placed]]]:
    arms = list(dict.fromkeys(p.arm for p in points))
    return [
        (f"var(--arm-{(i + 1) % 6})", [p for p in points if p.arm == arm])
        for i, arm in enumerate(arms)
    ]


def _shape(point: Placed) -> str:
    return list(SHAPES)[min(point.rounds.values(), default=0) % len(SHAPES)]


def _symbol(point: Placed) -> str:
    return f"{_shape(point)}{'' if point.at else '-open'}"


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


def _ranges(points: Sequence[Placed]) -> tuple[list[float], list[float]]:
    """Axes that hold every interval, within what rewards can be and a little air."""
    at = list(map(_at, points))  # which may lie beyond the interval of the policy's own prompts
    xs, ys = ([(x, x) for x, _ in at], [(y, y) for _, y in at])
    return _range([*xs, *(p.x_ci for p in points)]), _range([*ys, *(p.y_ci for p in points)])


def _range(ends: Sequence[Interval]) -> list[float]:
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    air = 0.1 * max(high - low, 0.05)
    return [max(low - air, -0.03), min(high + air, 1.03)]


def _of_one(page: ResultsPage) -> str:
    """What the policies come to on the one dimension that has scores."""
    points = page.shown.points if page.shown and page.x else []
    if all(point.row.rewards[page.x].mean is None for point in points):
        return "No policy has a score."
    means = [(point.row.name, point.means[page.x]) for point in points]
    known = [(name, mean) for name, mean in means if mean is not None]
    told = f"Scores are on {page.x} alone, so there is no front to draw"
    if not known:
        return f"{told}. {NONE_SHARED}"
    name, mean = max(known, key=lambda one: one[1])
    if len(known) == 1:
        return f"{told}: {name} is at {two_digits(mean)}."
    chance = "Differences within the 95 % intervals may be chance."
    return f"{told}: {name} is best, at {two_digits(mean)}. {chance}"


def _finding(page: ResultsPage, points: Sequence[Placed], front: Sequence[Placed]) -> str:
    """What the plot shows, in words."""
    assert page.shown is not None, "there are points"
    told = [_of_front(page, [p for p in points if p.at], front)]
    common = page.shown.points[0].common
    if front and common:
        told.append(f"The front is on the {common:,} prompts that all of these answered.")
    for apart, reason in HOLLOW.items():
        if names := [p.name for p in points if not p.at and p.apart == apart]:
            told.append(f"Hollow, for {reason}: {', '.join(names)}.")
    return " ".join(told)


def _of_front(page: ResultsPage, points: Sequence[Placed], front: Sequence[Placed]) -> str:
    if not points:
        return NONE_SHARED
    if len(points) == 1:
        return f"One policy so far: {_told_at(page, points[0])}."
    if len(front) == 1:
        (other, *more) = [p.name for p in points if p is not front[0]]
        rest = f"the other {len(points) - 1}" if more else other
        told = f"{_told_at(page, front[0])}, dominates {rest}"
        return f"{told}. Differences within the 95 % bars may be chance."
    ends = sorted(front, key=lambda p: -_at(p)[0])
    return (
        f"{len(front)} of {len(points)} policies are on the front: {_told_at(page, ends[0])}, is"
        f" best on {page.x}; {_told_at(page, ends[-1])}, is best on {page.y}."
        " Differences within the 95 % bars may be chance."
    )


def _at(point: Placed) -> tuple[float, float]:
    return point.at or (point.x, point.y)


def _told_at(page: ResultsPage, point: Placed) -> str:
    x, y = map(two_digits, _at(point))
    return f"{point.name}, at {x} {page.x} and {y} {page.y}"
