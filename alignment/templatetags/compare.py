"""How figures of the Compare page are drawn and say what they are over."""

from collections.abc import Iterator

from django import template

from alignment import arms_figure
from alignment.figures import Plot
from alignment.method.resampling import Estimate
from alignment.queries.compare_page import ComparePage
from alignment.queries.comparing import ArmFigures, Comparison
from alignment.templatetags.console import colour_of

register = template.Library()
SeedRow = tuple[int, list[float | None]]


@register.filter
def reward_cells(
    arm: ArmFigures,
) -> Iterator[tuple[Estimate, tuple[int, int] | None, Estimate | None]]:
    """By dimension the mean reward, the scores left out of it, and the refusals there."""
    for name, reward in arm.rewards.items():
        yield reward, arm.left_out.get(name), arm.refusal_rates.get(name)


@register.filter
def over(found: Estimate) -> str:
    """What an estimate is over."""
    prompts = "1 prompt" if found.parents == 1 else f"{found.parents} prompts"
    return f"n = {found.n}, of {prompts}"


@register.simple_tag
def seeds_plot(page: ComparePage) -> Plot:
    found = page.comparison
    assert found is not None, "seeds are of arms"
    return arms_figure.seeds_plot(found.arms, page.seeds, _colours(found))


@register.simple_tag
def differences_plot(found: Comparison) -> Plot:
    return arms_figure.differences_plot(found, _colours(found))


def _colours(found: Comparison) -> list[str]:
    """Those of the dimensions, then the hypervolume's."""
    return [*(f"var(--dim-{colour_of(name)})" for name in found.dimensions), "var(--muted)"]


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
