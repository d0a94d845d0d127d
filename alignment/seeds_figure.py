"""The plot of each seed's figures: a panel a figure, a row an arm, a dot a seed."""

from collections.abc import Sequence
from typing import Any

from alignment.figures import Plot, axis, layout, two_digits
from alignment.queries.comparing import ArmFigures

GAP = 0.03


def seeds_plot(arms: Sequence[ArmFigures], seeds: Sequence[int], colours: Sequence[str]) -> Plot:
    """Mean reward of each dimension and the hypervolume, by arm and seed, each arm's mean as a
    line across; colours: one a figure."""
    names = list(arms[0].by_seed[0])
    traces: list[dict[str, Any]] = []
    panels: dict[str, Any] = {}
    for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
        end = "" if i == 0 else str(i + 1)
        traces += [
            {**_dots(arms, seeds, name, colour), "xaxis": f"x{end}"},
            {**_means(arms, name), "xaxis": f"x{end}"},
        ]
        domain = [i / len(names) + GAP * (i > 0), (i + 1) / len(names)]
        panels[f"xaxis{end}"] = axis(name, domain=domain, nticks=4, range=_range(arms, name))
    whole = layout(**panels, yaxis=axis("", type="category", autorange="reversed", dtick=1))
    return Plot(figure={"data": traces, "layout": whole}, finding=_told(arms, names[-1]))


def _dots(
    arms: Sequence[ArmFigures], seeds: Sequence[int], name: str, colour: str
) -> dict[str, Any]:
    values = [own[name] for arm in arms for own in arm.by_seed]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": values,
        "y": [arm.name for arm in arms for _ in arm.by_seed],
        "text": [f"seed {seed}" for _ in arms for seed in seeds],
        "marker": {"color": colour, "size": 8, "opacity": 0.7},
        "hovertemplate": f"%{{y}}, %{{text}}: %{{x:.3f}}<extra>{name}</extra>",
        "cliponaxis": False,
    }


def _range(arms: Sequence[ArmFigures], name: str) -> list[float]:
    """An axis that holds every seed, never so narrow that nothing looks like much."""
    known = [v for arm in arms for own in arm.by_seed if (v := own[name]) is not None] or [0.0]
    low, high = min(known), max(known)
    air = max(0.05, 0.1 * (high - low))
    return [low - air, high + air]


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
