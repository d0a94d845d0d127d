"""Plots of arms: a panel a figure (each dimension's mean reward, the hypervolume), a row an arm."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from alignment.figures import Plot, axis, layout, two_digits
from alignment.queries.comparing import ArmFigures, Comparison, Difference

GAP = 0.05
NAME_LINE = 24  # characters, of which the style sheet's narrowest panels leave room for
SURE = 0.05  # corrected p below which a difference is drawn filled


def seeds_plot(arms: Sequence[ArmFigures], seeds: Sequence[int], colours: Sequence[str]) -> Plot:
    """A dot a seed, and each arm's mean as a line across; colours: one a figure."""
    names = list(arms[0].by_seed[0])
    traces = [
        [_dots(arms, seeds, name, colour), _means(arms, name)]
        for name, colour in zip(names, colours, strict=True)
    ]
    values = [[own[name] for arm in arms for own in arm.by_seed] for name in names]
    figure = _panels(names, traces, values, [arm.name for arm in arms])
    return Plot(figure=figure, finding=_told(arms, names[-1]))


def differences_plot(found: Comparison, colours: Sequence[str]) -> Plot:
    """Differences to the base with their intervals; filled where beyond chance, after correction;
    colours: one a figure."""
    names = [*found.dimensions, "hypervolume"]
    by_figure = [[d for d in found.differences if d.figure == name] for name in names]
    traces = [[_whiskers(own, colour)] for own, colour in zip(by_figure, colours, strict=True)]
    values = [
        [0.0, *(v for d in own for v in (d.plain.value, d.plain.low, d.plain.high))]
        for own in by_figure
    ]
    figure = _panels(names, traces, values, list(dict.fromkeys(d.arm for d in found.differences)))
    figure["layout"]["shapes"] = [_zero_line(i) for i in range(len(names))]
    sure = [f"{d.arm} {d.figure} {_signed(d)}" for d in found.differences if _is_sure(d)]
    told = "; ".join(sure) or "none"
    return Plot(figure=figure, finding=f"Beyond chance, to {found.base}: {told}.")


def _panels(
    names: Sequence[str],
    traces: Sequence[Sequence[dict[str, Any]]],
    values: Sequence[Sequence[float | None]],
    arms: Sequence[str],
) -> dict[str, Any]:
    """Panels side by side, by figure its traces and all that its axis must hold. A number at a
    panel's end is left out rather than run into the next panel's."""
    data: list[dict[str, Any]] = []
    panels: dict[str, Any] = {}
    for i, (name, own, held) in enumerate(zip(names, traces, values, strict=True)):
        end = _end(i)
        data += [{**trace, "xaxis": f"x{end}"} for trace in own]
        domain = [i / len(names) + GAP * (i > 0), (i + 1) / len(names)]
        whole = {"domain": domain, "range": _range(held), "nticks": 4, "tickangle": 0}
        panels[f"xaxis{end}"] = axis(name, **whole, ticklabeloverflow="hide past domain")
    rows = {"type": "category", "autorange": "reversed", "tickvals": list(arms)}
    told = axis("", **rows, ticktext=[_in_two_lines(name) for name in arms])
    return {"data": data, "layout": layout(**panels, yaxis=told)}


def _in_two_lines(name: str) -> str:
    """A name that takes no room from the panels; of a longer one its start and its end, for the
    arms of one run differ there."""
    lines = wrap(name, NAME_LINE)
    if len(lines) > 2:
        lines = [name[: NAME_LINE - 1].rstrip() + "…", name[-NAME_LINE:].lstrip()]
    return "<br>".join(lines)


def _end(panel: int) -> str:
    return "" if panel == 0 else str(panel + 1)


def _range(values: Sequence[float | None]) -> list[float]:
    """An axis that holds every value, never so narrow that nothing looks like much."""
    known = [v for v in values if v is not None] or [0.0]
    low, high = min(known), max(known)
    air = max(0.05, 0.1 * (high - low))
    return [low - air, high + air]


def _dots(
    arms: Sequence[ArmFigures], seeds: Sequence[int], name: str, colour: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [own[name] for arm in arms for own in arm.by_seed],
        "y": [arm.name for arm in arms for _ in arm.by_seed],
        "text": [f"seed {seed}" for _ in arms for seed in seeds],
        "marker": {"color": colour, "size": 8, "opacity": 0.7},
        "hovertemplate": f"%{{y}}, %{{text}}: %{{x:.3f}}<extra>{name}</extra>",
        "cliponaxis": False,
    }


def _means(arms: Sequence[ArmFigures], name: str) -> dict[str, Any]:
    over = [arm.hypervolume if name == "hypervolume" else arm.rewards[name] for arm in arms]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [estimate.value for estimate in over],
        "y": [arm.name for arm in arms],
        "marker": {
            "symbol": "line-ns-open",
            "size": 14,
            "color": "var(--text)",
            "line": {"width": 2},
        },
        "hovertemplate": f"%{{y}}, all seeds: %{{x:.3f}}<extra>{name}</extra>",
        "cliponaxis": False,
    }


def _told(arms: Sequence[ArmFigures], figure: str) -> str:
    spans = []
    for arm in arms:
        known = [v for own in arm.by_seed if (v := own[figure]) is not None]
        if known:
            spans.append(f"{arm.name} {two_digits(min(known))} to {two_digits(max(known))}")
    return f"Over seeds the {figure} is: {'; '.join(spans)}."


def _whiskers(own: Sequence[Difference], colour: str) -> dict[str, Any]:
    """Dots with their intervals as whiskers; a difference without an interval has none."""
    spans = [_span(d) for d in own]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [d.plain.value for d in own],
        "y": [d.arm for d in own],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - value for _, value, high in spans],
            "arrayminus": [value - low for low, value, _ in spans],
            "color": colour,
            "thickness": 1.6,
            "width": 0,
        },
        "marker": {
            "color": [colour if _is_sure(d) else "var(--surface)" for d in own],
            "size": 9,
            "line": {"color": colour, "width": 1.8},
        },
        "hovertemplate": f"%{{y}}: %{{x:+.3f}}<extra>{own[0].figure if own else ''}</extra>",
        "cliponaxis": False,
    }


def _zero_line(panel: int) -> dict[str, Any]:
    return {
        "type": "line",
        "layer": "below",
        "xref": f"x{_end(panel)}",
        "yref": "paper",
        "x0": 0,
        "x1": 0,
        "y0": 0,
        "y1": 1,
        "line": {"color": "var(--line-strong)", "width": 1.5},
    }


def _span(d: Difference) -> tuple[float, float, float]:
    """Low end, value and high end; of no width where there is no interval."""
    value = d.plain.value or 0.0
    if d.plain.low is None or d.plain.high is None:
        return value, value, value
    return d.plain.low, value, d.plain.high


def _is_sure(d: Difference) -> bool:
    """Beyond chance: by its corrected p, or, without a test, by an interval without 0."""
    if d.corrected is not None:
        return d.corrected < SURE
    low, _, high = _span(d)
    return d.plain.low is not None and not low <= 0 <= high


def _signed(d: Difference) -> str:
    return f"{d.plain.value or 0.0:+.2f}"
