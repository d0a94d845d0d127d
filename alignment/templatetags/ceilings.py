"""How the plots, rows and names of the Ceiling and Compare pages come from their data."""

from collections.abc import Sequence

from django import template

from alignment import ceiling_figures
from alignment.figures import Plot
from alignment.method.resampling import Estimate
from alignment.method.set_ceiling import MeanCurve
from alignment.method.statistics import WinRate
from alignment.queries.ceiling_page import Shown
from alignment.queries.ceiling_sides import Level, Side
from alignment.queries.ceilings import BeforeAfter, MiningNumbers, Number
from alignment.queries.compare_page import ComparePage
from alignment.queries.compare_tables import Sweep
from alignment.queries.replay import Replay
from alignment.templatetags.console import colour_of

register = template.Library()
CurveRow = tuple[str, list[float], int]  # what it is of, its values, over how many prompts
NAMES = {
    "joint_pass_rate": "rollouts that pass every bar",
    "joint_pass_at": "Pass@{m}, every bar",
    "joint_attainment": "best of {m}, least dimension's reward",
    "reward_variance": "reward-dimension variance",
    "volume": "attainable volume at {m}",
    "coverage": "coverage ratio",
    "spread": "spread",
    "clipped": "share of scores clipped",
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
    return ceiling_figures.grades_plot(shown, shown.sides, shown.levels)


@register.simple_tag
def before_after_plot(found: BeforeAfter) -> Plot:
    return ceiling_figures.before_after_plot(found)


@register.simple_tag
def levels_plot(shown: Shown) -> Plot:
    assert shown.compared is not None, "levels are compared"
    return ceiling_figures.levels_plot(shown, shown.compared)


@register.simple_tag
def curve_table(shown: Shown) -> tuple[tuple[int, ...], list[CurveRow]]:
    """The sizes and rows of the mining sample's curves: Pass@m per dimension and jointly, and the
    best of the least reward."""
    curves = shown.side.curves
    named = zip(shown.dimensions, curves.pass_at, strict=True)
    rows = [
        *(_curve_row(f"Pass@m, {name}", curve) for name, curve in named),
        _curve_row("Pass@m, all at once", curves.joint_pass_at),
        _curve_row("best of m, least dimension's reward", curves.joint_attainment),
    ]
    return curves.joint_pass_at.m, rows


@register.simple_tag
def pair_table(found: BeforeAfter) -> tuple[tuple[int, ...], list[CurveRow]]:
    """The sizes and rows of the curves before and after."""
    sides = (("originals", found.before.curves), ("rewrites", found.after.curves))
    rows = [_curve_row(f"Pass@m, {name}", curves.joint_pass_at) for name, curves in sides]
    least = "best of m, least dimension's reward"
    rows += [_curve_row(f"{least}, {name}", curves.joint_attainment) for name, curves in sides]
    return found.before.curves.joint_pass_at.m, rows


def _curve_row(name: str, curve: MeanCurve) -> CurveRow:
    return name, list(curve.value), curve.prompts


@register.filter
def number_rows(found: MiningNumbers) -> list[tuple[str, Number]]:
    """The numbers with their names; a clipped share only where a score was clipped."""
    clipped = [number for number in found.clipped if number.mean.value]
    return [
        (f"{NAMES[number.name].format(m=found.m)}{number.of and f', {number.of}'}", number)
        for number in (*found.numbers, *clipped)
    ]


@register.filter
def none_clipped(found: MiningNumbers) -> bool:
    return not any(number.mean.value for number in found.clipped)


@register.filter
def level_rows(shown: Shown) -> list[tuple[str, list[Level]]]:
    found = shown.sides
    return [
        (level.name, [side.levels[i] for side in found]) for i, level in enumerate(found[0].levels)
    ]


@register.filter
def without_score(shown: Shown, side: Side) -> str:
    """How many of the scores asked for a side lacks, in a sentence; they are in no figure."""
    lost = [
        f"{invalid:,} of {asked:,} on {name}"
        for name, asked, invalid in zip(shown.dimensions, side.asked, side.invalid, strict=True)
        if invalid
    ]
    return f"Without a score: {', '.join(lost)}." if lost else "Every score asked for was given."


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
