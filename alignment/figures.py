"""Plotly figures as plain dictionaries, each with the sentence that says what it shows.

Colours are names of the style sheet's tokens, which plot.js fills in, so that a plot follows light
and dark. What the points mean is computed in queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alignment.queries.runs import Training

FONT = {"family": "var(--font)", "size": 12, "color": "var(--muted)"}
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure for Plotly, and its text alternative."""

    figure: dict[str, Any]
    finding: str


def two_digits(value: float) -> str:
    """A reward to two digits; what is stored a hair below a half, as 0.975 is, goes up."""
    return f"{value + 1e-9:.2f}"


def training_plot(trainings: Sequence[Training]) -> Plot:
    """Loss above reward margin over the optimizer steps, one line a round."""
    traces = [
        trace
        for training in trainings
        for trace in (
            _curve(training, "loss", [s.loss for s in training.steps], "y2"),
            _curve(training, "margin", [s.margin for s in training.steps], "y"),
        )
    ]
    whole = layout(
        xaxis=axis("optimizer step", anchor="y"),
        yaxis=axis("margin", domain=[0, 0.46]),
        yaxis2=axis("loss", domain=[0.54, 1]),
    )
    whole["margin"]["r"] = 60  # for the labels at the lines' ends
    told = " ".join(_told(training) for training in trainings)
    return Plot(figure={"data": traces, "layout": whole}, finding=told)


def _curve(training: Training, name: str, values: list[float | None], axis: str) -> dict[str, Any]:
    """A line with its label at its end."""
    colour = f"var(--arm-{1 + (training.round - 1) % 5})"
    labels = [""] * (len(values) - 1) + [f"round {training.round}"]
    return {
        "type": "scatter",
        "mode": "lines+text" if len(values) > 2 else "lines+markers+text",
        "marker": {"color": colour, "size": 4},
        "name": f"{training.title}, {name}",
        "x": [s.step for s in training.steps],
        "y": values,
        "yaxis": axis,
        "text": labels,
        "textposition": "middle right",
        "cliponaxis": False,
        "textfont": {"color": colour},
        "line": {"color": colour, "width": 1.8, "dash": DASHES[(training.round - 1) % 4]},
        "hovertemplate": f"%{{x}}: %{{y:.4f}}<extra>{name}, round {training.round}</extra>",
    }


def _told(training: Training) -> str:
    first, last = training.steps[0], training.steps[-1]
    parts = [_change("loss", first.loss, last.loss), _change("margin", first.margin, last.margin)]
    told = "; ".join(filter(None, parts)) or "no metrics yet"
    steps = f"{len(training.steps)} step" + ("s" if len(training.steps) != 1 else "")
    return f"Round {training.round}, {steps}: {told}."


def _change(name: str, first: float | None, last: float | None) -> str:
    if first is None or last is None:
        return ""
    ends = [f"{first:z.3f}", f"{last:z.3f}"]
    return f"{name} {' to '.join(dict.fromkeys(ends))}"


def axis(title: str, **more: Any) -> dict[str, Any]:
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": "var(--line)",
        "linecolor": "var(--line-strong)",
        "zerolinecolor": "var(--line-strong)",
        "automargin": True,
        "nticks": 6,
        "fixedrange": False,
        **more,
    }


def layout(**more: Any) -> dict[str, Any]:
    return {
        "uirevision": "kept",
        "showlegend": False,
        "hovermode": "closest",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": FONT,
        "margin": {"l": 48, "r": 12, "t": 12, "b": 40},
        "hoverlabel": {"font": {"family": "var(--font)"}},
        **more,
    }
