"""How the plots, rows and names of the Ceiling and Compare pages come from their data."""

from collections.abc import Sequence

from django import template

from alignment import ceiling_figures
from alignment.figures import Plot
from alignment.method.resampling import Estimate
from alignment.method.statistics import WinRate
from alignment.queries.ceiling_page import Shown
from alignment.queries.ceilings import BeforeAfter, Level, Side
from alignment.queries.compare_page import ComparePage
from alignment.queries.compare_tables import Sweep
from alignment.queries.replay import Replay
from alignment.templatetags.console import colour_of

register = template.Library()
Cell = tuple[float, int] | None  # a mean over prompts and how many; None where none has enough
NAMES = {
    "joint_pass_rate": "rollouts that pass every bar",
    "joint_pass_at": "Pass@{m}, every bar",
    "joint_attainment": "best of {m}, least dimension's reward",
    "reward_variance": "reward-dimension variance",
    "volume": "attainable volume at {m}",
    "coverage": "coverage ratio",
}

BOTH_ORDERS = (
    "Side by side: a judge compared each prompt's first completion with the start policy's, in both"
    " orders, which are averaged. A prompt is invalid when either reply could not be read."
)
BY_SCORES = (
    "By the evaluation judges' scores, rollout by rollout. They see one completion at a time, so"
    " both orders agree."
)


@register.simple_tag
def pass_plot(shown: Shown) -> Plot:
    colours = [f"var(--dim-{colour_of(name)})" for name in shown.dimensions]
    return ceiling_figures.pass_plot(shown, colours)


@register.simple_tag
def grades_plot(shown: Shown) -> Plot:
    return ceiling_figures.grades_plot(shown, sides(shown), shown.levels)


@register.simple_tag
def before_after_plot(found: BeforeAfter) -> Plot:
    return ceiling_figures.before_after_plot(found)


@register.simple_tag
def levels_plot(shown: Shown) -> Plot:
    assert shown.compared is not None, "levels are compared"
    return ceiling_figures.levels_plot(shown, shown.compared)


@register.filter
def sides(shown: Shown) -> list[Side]:
    """Originals and rewrites where they are compared, else the mining sample."""
    return [shown.compared.before, shown.compared.after] if shown.compared else [shown.side]


@register.simple_tag
def curve_table(shown: Shown, side: Side) -> tuple[list[int], list[tuple[str, list[Cell]]]]:
    """The sizes and rows of the curves' table: Pass@m per dimension and jointly, and the least
    reward's best, each with how many prompts it is over."""
    curves, least = side.curves, side.curves.joint_attainment
    named = zip(shown.dimensions, curves.pass_at, strict=True)
    rows = [
        *((f"Pass@m, {name}", curve) for name, curve in named),
        ("Pass@m, all at once", curves.joint_pass_at),
        ("best of m, least dimension's reward", least),
    ]
    sizes = sorted({m for _, curve in rows for m in curve.m})
    by_size = [
        (told, dict(zip(c.m, zip(c.value, c.prompts, strict=True), strict=True)))
        for told, c in rows
    ]
    return sizes, [(told, [found.get(m) for m in sizes]) for told, found in by_size]


@register.filter
def level_rows(shown: Shown) -> list[tuple[str, list[Level]]]:
    found = sides(shown)
    return [
        (level.name, [side.levels[i] for side in found]) for i, level in enumerate(found[0].levels)
    ]


@register.filter
def verdict_rows(found: Replay) -> list[tuple[str, int, int]]:
    return [(name, found.before[name], found.after[name]) for name in found.before]


@register.filter
def ceiling_name(name: str, m: int) -> str:
    return NAMES[name].format(m=m)


@register.filter
def split(text: str) -> list[str]:
    return text.split()


@register.filter
def p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@register.filter
def ends(found: Estimate) -> str:
    """An estimate's interval to three digits."""
    if found.low is None or found.high is None:
        return ""
    return f"{found.low:z.3f} to {found.high:z.3f}"


@register.filter
def signed(value: float) -> str:
    """A difference to three digits; what rounds to 0 has no sign."""
    return f"{value:+.3f}" if round(value, 3) else "0.000"


@register.filter
def at(items: Sequence[str], index: int) -> str:
    return items[index]


@register.simple_tag
def sweep_plot(sweep: Sweep) -> Plot:
    colours = [f"var(--dim-{colour_of(name)})" for name in sweep.rewards]
    return ceiling_figures.sweep_plot(sweep, colours)


@register.filter
def sweep_rows(sweep: Sweep) -> list[tuple[float, float, list[float | None]]]:
    columns = list(sweep.rewards.values())
    return [
        (share, sweep.pairs[i], [column[i] for column in columns])
        for i, share in enumerate(sweep.shares)
    ]


@register.filter
def win_tables(page: ComparePage) -> list[tuple[str, list[tuple[str, list[WinRate | None]]]]]:
    """How the wins of a table were found, and by arm the win rate on each dimension; those of
    judges that compared both orders come first."""
    found = page.comparison
    assert found is not None
    kinds = ((BOTH_ORDERS, "preferred"), (BY_SCORES, "wins"))
    return [
        (told, [(arm.name, [own.get(d) for d in found.dimensions]) for arm, own in rows])
        for told, kind in kinds
        if (rows := [(arm, own) for arm in found.arms if (own := getattr(arm, kind))])
    ]


@register.filter
def tax_rows(page: ComparePage) -> list[tuple[str, Sequence[float | None]]]:
    """The tax after each round, and the difference to the start."""
    if page.tax is None:
        return []
    rows = list(zip(page.rounds, page.tax.tax, strict=True))
    return [*rows, ("the last round, less the start policy", page.tax.to_start)]
