"""How figures of the Compare page say what they are over, and how each seed's are shown."""

from django import template

from alignment import seeds_figure
from alignment.figures import Plot
from alignment.method.resampling import Estimate
from alignment.queries.compare_page import ComparePage
from alignment.templatetags.console import colour_of

register = template.Library()
SeedRow = tuple[int, list[float | None]]


@register.filter
def over(found: Estimate) -> str:
    """What an estimate is over."""
    prompts = "1 prompt" if found.parents == 1 else f"{found.parents} prompts"
    return f"n = {found.n}, of {prompts}"


@register.simple_tag
def seeds_plot(page: ComparePage) -> Plot:
    found = page.comparison
    assert found is not None, "seeds are of arms"
    colours = [*(f"var(--dim-{colour_of(name)})" for name in found.dimensions), "var(--muted)"]
    return seeds_figure.seeds_plot(found.arms, page.seeds, colours)


@register.filter
def seed_rows(page: ComparePage) -> list[tuple[str, list[SeedRow]]]:
    """By arm each seed's figures, in the order of `by_seed`."""
    arms = page.comparison.arms if page.comparison else []
    return [
        (
            arm.name,
            [(s, list(own.values())) for s, own in zip(page.seeds, arm.by_seed, strict=True)],
        )
        for arm in arms
    ]
