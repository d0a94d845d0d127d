"""How values are written on pages: durations, rates, figures with their intervals, and text that
people or models wrote. Every filter gives plain text, which the template escapes."""

import unicodedata
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils import timezone

from alignment import bars, figures, markup, pareto_figure
from alignment.models import Project, Role
from alignment.permissions import may
from alignment.queries import results_page, runs
from alignment.queries.own_reviews import left_for
from alignment.queries.side_bar import side_bar

register = template.Library()
COLOURS = {"helpful": 0, "harmless": 1, "truthful": 2}
OWN_LINES = "\n\t"
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


@register.filter
def dim(name: str) -> str:
    """The class that gives a dimension its colour, the same on every page."""
    return f"dim dim-{colour_of(name)}"


def colour_of(name: str) -> int:
    return COLOURS.get(name, 3 + crc32(name.encode()) % 3)


@register.filter
def duration(seconds: float | timedelta | None) -> str:
    """Seconds as a person says them: 0.4 s, 41 s, 6 min, 1 h 5 min, 3 d 4 h."""
    if seconds is None:
        return ""
    value = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
    if value < 1:
        return f"{max(value, 0):.1f} s" if value >= 0.05 else "0 s"
    minutes, hours = value / 60, value / 3600
    if value < 90:
        return f"{value:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    if hours < 48:
        return f"{int(hours)} h {int(minutes % 60)} min"
    return f"{int(hours / 24)} d {int(hours % 24)} h"


@register.filter
def before(at: datetime | None, now: datetime) -> str:
    """How long before `now` something was."""
    return duration(now - at) if at else ""


@register.filter
def age(at: datetime, now: datetime) -> str:
    """Seconds since then, for the page to count on from."""
    return f"{(now - at).total_seconds():.1f}"


@register.filter
def until(at: datetime) -> float:
    """Seconds left until then."""
    return max(0.0, (at - timezone.now()).total_seconds())


@register.filter
def rate(per_second: float | None) -> str:
    """A rate with two or three figures: 412, 41, 4.1, 0.41."""
    if per_second is None:
        return ""
    return intcomma(round(per_second)) if per_second >= 10 else f"{per_second:.2g}"


@register.filter
def percent(share: float | None) -> str:
    """A share in whole percent; what is not all of it is never written as 100 %."""
    if share is None:
        return ""
    whole = round(share * 100 + 1e-7)
    return f"{min(whole, 99) if share < 1 else whole} %"


@register.filter
def width(share: float) -> str:
    """A share as the number of percent that a style takes."""
    return f"{share * 100:.1f}"


@register.filter
def figure(value: float | None) -> str:
    return "" if value is None else figures.two_digits(value)


@register.filter
def loss(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


@register.filter
def found(value: float | str | None) -> str:
    """What a gate found: a number to six digits, or how a hash begins."""
    if value is None:
        return "none"
    return value[:12] if isinstance(value, str) else f"{value:.6g}"


@register.filter
def interval(ends: tuple[float, float] | None) -> str:
    return _ends(ends, figures.two_digits)


@register.filter
def percents(ends: tuple[float, float] | None) -> str:
    return _ends(ends, lambda end: f"{end * 100:.0f}")


def _ends(ends: tuple[float, float] | None, write: Callable[[float], str]) -> str:
    """An interval; of equal values a bootstrap has none."""
    if ends is None:
        return ""
    return "no spread" if ends[0] == ends[1] else f"{write(ends[0])} to {write(ends[1])}"


@register.filter
def volume(value: float | None) -> str:
    """A figure to three digits; what rounds to 0 has no sign."""
    return "" if value is None else f"{value:z.3f}"


@register.filter
def words(name: str) -> str:
    """A name of the code as words."""
    return name.replace("_", " ")


@register.filter
def visible(text: str) -> str:
    """The text with control, format and bidirectional characters written as their code points."""
    text = text.replace("\r\n", "\n")
    return "".join(char if _shows(char) else f"\u27e8U+{ord(char):04X}\u27e9" for char in text)


@register.filter
def listed(names: Iterable[str]) -> str:
    """Names in a row, as `visible` writes each."""
    return ", ".join(map(visible, names))


def _shows(char: str) -> bool:
    return char in OWN_LINES or unicodedata.category(char) not in UNSEEN


@register.filter
def blocks(text: str) -> list[markup.Block]:
    """A guideline's text in blocks."""
    return markup.blocks(text)


@register.simple_tag
def training_plot(trainings: list[runs.Training]) -> figures.Plot:
    return figures.training_plot(trainings)


@register.simple_tag
def hours_chart(rows: list[tuple[datetime, int]]) -> bars.HoursChart:
    return bars.hours_chart(rows, timezone.now())


@register.simple_tag
def pareto_plot(page: results_page.ResultsPage) -> figures.Plot:
    return pareto_figure.pareto_plot(page)


@register.simple_tag
def pareto_marks(page: results_page.ResultsPage) -> dict[int, tuple[str, str]]:
    return pareto_figure.pareto_marks(page)


@register.filter
def mark_of(marks: dict[int, tuple[str, str]], evaluation: int) -> tuple[str, str] | None:
    """Colour and shape of an evaluation's mark, where it has one."""
    return marks.get(evaluation)


@register.simple_tag(takes_context=True)
def may_act(context: Any, project: Project, role: str) -> bool:
    """Whether the person may do in the project what needs this role."""
    return may(context["request"].user, project, Role(role))


@register.simple_tag(takes_context=True)
def left_for_me(context: Any, project: Project) -> int:
    """How many rewrites still take a review of the person."""
    return left_for(project, context["request"].user)


@register.inclusion_tag("partials/_nav.html", takes_context=True)
def nav(context: Any, project: Project | None = None) -> dict[str, Any]:
    """The side bar of a page."""
    match = context["request"].resolver_match
    current = SECTIONS.get(match.url_name, match.url_name) if match else ""
    return {**side_bar(context["request"].user, project), "current": current}


# Pages that stand below another in the side bar.
SECTIONS = {
    "run": "runs",
    "new-run": "runs",
    "decide": "review",
    "undo-review": "review",
    "my-reviews": "review",
    **dict.fromkeys(("disputes", "adjudicate", "agreement", "rewrites", "rerun"), "desk"),
    "bulk-preview": "desk",
    "invite": "members",
    "new-policy": "policies",
    "import-prompts": "prompts",
    **dict.fromkeys(("judge", "try-judge", "new-judge", "edit-judge"), "dimensions"),
    **dict.fromkeys(("new-rewriter", "edit-rewriter"), "dimensions"),
}
