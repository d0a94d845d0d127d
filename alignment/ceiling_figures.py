"""Plots of the Ceiling page: Pass@m, grades among all and best of N, rewards by level.

Each is a Plotly figure with the sentence that says what it shows; the numbers come from
`queries.ceilings`.
"""

from collections.abc import Sequence
from typing import Any

from alignment.figures import Plot, axis, layout, two_digits
from alignment.method.ceiling import Curve
from alignment.queries.ceiling_page import Shown
from alignment.queries.ceiling_sides import Side
from alignment.queries.ceilings import BeforeAfter
from alignment.queries.compare_tables import Sweep

SIDES = ("var(--arm-1)", "var(--arm-2)")
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}


def pass_plot(shown: Shown, colours: Sequence[str]) -> Plot:
    """Mean Pass@m of each dimension and of all at once, over the mining sample."""
    curves = shown.side.curves
    named = list(zip(shown.dimensions, curves.pass_at, colours, strict=True))
    traces = [_line(name, curve, colour) for name, curve, colour in named]
    traces.append(_line("all at once", curves.joint_pass_at, "var(--text)", dash="dash"))
    joint = curves.joint_pass_at
    half = joint.m[_half(joint)] if joint.m else 1
    every = [*((name, curve) for name, curve, _ in named), ("all at once", joint)]
    told = "; ".join(_ends(name, curve) for name, curve in every if curve.m)
    sizes = f"from m = 1 to {half}" if half > 1 else "at m = 1"
    finding = f"Pass@m over {_prompts(shown.side)}, {sizes}: {told}."
    whole = _curve_layout("Pass@m", joint.prompts)
    return Plot(figure={"data": traces, "layout": whole}, finding=finding)


def _ends(name: str, curve: Curve) -> str:
    """A curve's value at m = 1 and where half of it ends."""
    values = [two_digits(curve.value[0]), two_digits(curve.value[_half(curve)])]
    return f"{name} {' to '.join(values[: 1 + (_half(curve) > 0)])}"


def _prompts(side: Side) -> str:
    """Over how many prompts a side's curves are, and why not all."""
    joint = side.curves.joint_pass_at
    if joint.prompts == side.prompts:
        return _counted(joint.prompts)
    return f"{joint.prompts} of {_counted(side.prompts)}, those with {joint.m[-1]} valid rollouts"


def _counted(n: int) -> str:
    return f"{n} prompt" if n == 1 else f"{n} prompts"


def _half(curve: Curve) -> int:
    """Where the largest m up to half of the curve's stands, at which it is no mere indicator."""
    return max(0, sum(m <= curve.m[-1] / 2 for m in curve.m) - 1)


def before_after_plot(found: BeforeAfter) -> Plot:
    """Joint Pass@m (solid) and best-of-m of the least dimension (dashed), before and after."""
    traces = []
    for side, colour in zip((found.before, found.after), SIDES, strict=True):
        joint, least = side.curves.joint_pass_at, side.curves.joint_attainment
        traces.append(_line(f"{_short(side)}: Pass@m", joint, colour))
        traces.append(_line(f"{_short(side)}: best of m", least, colour, dash="dash"))
    rate = next(c for c in found.changes if c.name == "joint_pass_rate")
    ends = zip((found.before, found.after), (rate.before, rate.after), strict=True)
    told = (f"{side.name} {two_digits(e.value)}" for side, e in ends if e.value is not None)
    values = ", ".join(told)
    chance = f"Chance that a rollout passes every bar, over {_counted(rate.change.n)}: {values}."
    finding = (
        f"{chance if values else 'No prompt has rollouts with every score on both sides.'} Solid:"
        " one of m rollouts passes every bar; dashed: best of m of the least reward; both over"
        f" {_prompts(found.before)}."
    )
    whole = _curve_layout("share or reward", found.before.curves.joint_pass_at.prompts)
    return Plot(figure={"data": traces, "layout": whole}, finding=finding)


def _short(side: Side) -> str:
    if side.name.startswith("mining"):
        return side.name
    return side.name.partition(" ")[0].rstrip(",")


def _line(name: str, curve: Curve, colour: str, dash: str = "solid") -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(curve.m),
        "y": list(curve.value),
        "line": {"color": colour, "width": 1.8, "dash": dash},
        "marker": {"color": colour, "size": 5},
        "hovertemplate": f"m = %{{x}}: %{{y:.3f}}<extra>{name}</extra>",
    }


def _curve_layout(title: str, prompts: int) -> dict[str, Any]:
    ticks = [2**i for i in range(11)]
    whole = layout(
        xaxis=axis(
            f"m, rollouts (n = {_counted(prompts)})",
            type="log",
            tickvals=ticks,
            ticktext=[str(t) for t in ticks],
        ),
        yaxis=axis(title, range=[-0.02, 1.02]),
    )
    # Named in a legend, for curves often end alike, where labels would cover each other.
    whole["margin"] |= {"t": 40, "r": 12}
    return {**whole, "showlegend": True, "legend": LEGEND}


def grades_plot(shown: Shown, sides: Sequence[Side], levels: Sequence[str]) -> Plot:
    """Figure 2: bars of grades among all rollouts and among the best of N, and a pass rate."""
    traces: list[dict[str, Any]] = []
    panels: dict[str, Any] = {}
    for i, side in enumerate(sides):
        end = "" if i == 0 else str(i + 1)
        common = {"xaxis": f"x{end}", "showlegend": i == 0}
        traces += [{**bar, **common} for bar in _grade_bars(shown, side, levels)]
        traces.append({**_pass_line(shown, side), **common})
        left, right = i / len(sides), (i + 1) / len(sides)
        gap = 0.03 if len(sides) > 1 else 0
        domain = [left + gap * (i > 0), right - gap * (i < len(sides) - 1)]
        panels[f"xaxis{end}"] = axis(_short(side), domain=domain, type="category")
    whole = layout(
        **panels,
        yaxis=axis("share of rollouts", range=[0, 1.02]),
        barmode="stack",
        bargap=0.3,
        showlegend=True,
        legend={**LEGEND, "traceorder": "normal"},
    )
    whole["margin"]["t"] = 56
    told = " ".join(_grades_told(shown, side, levels) for side in sides)
    return Plot(figure={"data": traces, "layout": whole}, finding=told)


def _grade_bars(shown: Shown, side: Side, levels: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "type": "bar",
            "name": f"{shown.bars} {title}",
            "x": _groups(side),
            "y": [g.share[level] for g in side.grades],
            "marker": {"color": "var(--dim-0)"},
            # The trace's own, which the legend follows.
            "opacity": 0.15 + 0.8 * level / max(1, len(levels) - 1),
            "legendgroup": title,
            "hovertemplate": f"{shown.bars} {title}, %{{x}}: %{{y:.3f}}<extra>{side.name}</extra>",
        }
        for level, title in enumerate(levels)
    ]


def _pass_line(shown: Shown, side: Side) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"{shown.line} pass rate",
        "x": _groups(side),
        "y": [g.pass_rate for g in side.grades],
        "line": {"color": "var(--text)", "width": 2},
        "marker": {"color": "var(--text)", "size": 7, "symbol": "diamond"},
        "legendgroup": "line",
        "hovertemplate": f"{shown.line} passes, %{{x}}: %{{y:.3f}}<extra>{side.name}</extra>",
    }


def _groups(side: Side) -> list[str]:
    """The bars' names, with the number of prompts where it is not that of all rollouts."""
    every = side.grades[0]
    return [
        (f"best of {g.m}" if g.m else "all rollouts")
        + (f" (n = {g.prompts})" if g.prompts != every.prompts else "")
        for g in side.grades
    ]


def _percent(share: float) -> str:
    """A share in whole percent; what is stored a hair below a half goes up."""
    return f"{100 * share + 1e-7:.0f} %"


def _grades_told(shown: Shown, side: Side, levels: Sequence[str]) -> str:
    every, best = side.grades[0], side.grades[-1]
    if every.pass_rate is None or best.pass_rate is None:
        return f"{side.name.capitalize()}: no rollout has both scores."
    fewer = f" over {best.prompts} of them" if best.prompts != every.prompts else ""
    return (
        f"{side.name.capitalize()}, {_counted(every.prompts)}: {_percent(every.share[0])} of all"
        f" rollouts have {shown.bars} {levels[0]} and {_percent(every.pass_rate)} pass"
        f" {shown.line}; of the best of {best.m}{fewer}, {_percent(best.share[0])} and"
        f" {_percent(best.pass_rate)}."
    )


def levels_plot(shown: Shown, found: BeforeAfter) -> Plot:
    """Figure 6: share of rollouts at each level, and the rewards of the other dimensions there."""
    sides = list(zip((found.before, found.after), SIDES, strict=True))
    traces = [make(side, colour) for side, colour in sides for make in (_level_bars, _level_boxes)]
    whole = layout(
        xaxis=axis(f"{shown.bars}, level", type="category"),
        yaxis=axis("mean reward of the others", domain=[0, 0.56], range=[-0.03, 1.03]),
        yaxis2=axis("share", domain=[0.66, 1], rangemode="tozero"),
        barmode="group",
        boxmode="group",
        showlegend=True,
        legend=LEGEND,
    )
    whole["margin"]["t"] = 40
    top = [side.levels[-1] for side in (found.before, found.after)]
    told = (
        f"At the highest level of {shown.bars}: {_percent(top[0].share)} of the rollouts of the"
        f" originals and {_percent(top[1].share)} of those of the rewrites."
    )
    return Plot(figure={"data": traces, "layout": whole}, finding=told)


def _level_bars(side: Side, colour: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": side.name,
        "x": [level.name for level in side.levels],
        "y": [level.share for level in side.levels],
        "yaxis": "y2",
        "marker": {"color": colour},
        "offsetgroup": side.name,
        "legendgroup": side.name,
        "hovertemplate": f"level %{{x}}: %{{y:.3f}}<extra>{side.name}</extra>",
    }


def _level_boxes(side: Side, colour: str) -> dict[str, Any]:
    """Boxes from quartiles that are computed already, of the levels that have rollouts."""
    boxes = [(level, level.quartiles) for level in side.levels if level.quartiles]
    five = {
        name: [quartiles[i] for _, quartiles in boxes]
        for i, name in enumerate(("lowerfence", "q1", "median", "q3", "upperfence"))
    }
    return {
        "type": "box",
        "name": side.name,
        "x": [level.name for level, _ in boxes],
        **five,
        "mean": [level.mean for level, _ in boxes],
        "marker": {"color": colour},
        "line": {"color": colour, "width": 1.4},
        "offsetgroup": side.name,
        "legendgroup": side.name,
        "showlegend": False,
    }


def sweep_plot(sweep: Sweep, colours: Sequence[str]) -> Plot:
    """Figure 5: mean rewards against the number of pairs, one line a dimension."""
    traces = []
    for (name, values), colour in zip(sweep.rewards.items(), colours, strict=True):
        curve = {
            "x": sweep.pairs,
            "y": values,
            "hovertemplate": f"%{{x}} pairs: %{{y:.3f}}<extra>{name}</extra>",
            "mode": "lines+markers+text",
            "text": [""] * (len(values) - 1) + [name],
            "textposition": "middle right",
            "textfont": {"color": colour},
            "cliponaxis": False,
        }
        traces.append({**_line(name, Curve(m=(1,), value=(0.0,)), colour), **curve})
    whole = layout(xaxis=axis("pairs", rangemode="tozero"), yaxis=axis("mean reward (0 to 1)"))
    whole["margin"]["r"] = 84
    ends = "; ".join(
        f"{name} {two_digits(values[0])} to {two_digits(values[-1])}"
        for name, values in sweep.rewards.items()
        if values[0] is not None and values[-1] is not None
    )
    told = f"From {sweep.pairs[0]:g} to {sweep.pairs[-1]:g} pairs: {ends}."
    return Plot(figure={"data": traces, "layout": whole}, finding=told)
