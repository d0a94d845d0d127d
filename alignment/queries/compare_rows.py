"""The Compare page's figures as rows, for its CSV."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from alignment.method.resampling import Estimate
from alignment.queries.compare_page import ComparePage
from alignment.queries.comparing import ArmFigures, Comparison

HEAD = ("table", "arm", "figure", "value", "low", "high", "p", "corrected_p", "n", "seed")
Row = tuple[Any, ...]


def rows_of(page: ComparePage) -> Iterator[Row]:
    """Every figure of the page's tables, in the order of HEAD; what is undefined is None."""
    if page.comparison is None:
        return iter(())
    of_arms = (row for arm in page.comparison.arms for row in _arm(arm))
    rest = _tax(page), _targets(page), _sweep(page)
    return chain(of_arms, _seeds(page), _differences(page.comparison), *rest)


def _row(table: str, arm: str, figure: str, value: Any, n: Any = None, seed: Any = None) -> Row:
    return table, arm, figure, value, None, None, None, None, n, seed


def _estimate(table: str, arm: str, figure: str, e: Estimate, *p: float | None) -> Row:
    return table, arm, figure, e.value, e.low, e.high, *(p or (None, None)), e.n, None


def _arm(arm: ArmFigures) -> Iterator[Row]:
    figures = {f"{n} reward": e for n, e in arm.rewards.items()}
    figures |= {f"{n} passes": e for n, e in arm.pass_rates.items()}
    figures |= {"all pass": arm.joint_pass_rate, "hypervolume": arm.hypervolume}
    figures |= {"tokens": arm.tokens, "refusals": arm.refusal_rate}
    figures |= {f"{n} refusals": e for n, e in arm.refusal_rates.items()}
    wins = {f"{n} wins": w for n, w in arm.wins.items()}
    wins |= {f"{n} preferred in both orders": w for n, w in arm.preferred.items()}
    figures |= {name: w.rate for name, w in wins.items()}
    for name, e in figures.items():
        yield _estimate("arms", arm.name, name, e)
    for name, w in wins.items():
        yield _row("arms", arm.name, f"{name}, share invalid", w.invalid_share)
    for name, (lost, asked) in arm.left_out.items():
        yield _row("arms", arm.name, f"{name} scores left out", lost, asked)


def _seeds(page: ComparePage) -> Iterator[Row]:
    for arm in page.comparison.arms if page.comparison else ():
        for seed, figures in zip(page.seeds, arm.by_seed, strict=True):
            for name, value in figures.items():
                told = name if name == "hypervolume" else f"{name} reward"
                yield _row("seeds", arm.name, told, value, seed=seed)


def _differences(found: Comparison) -> Iterator[Row]:
    for d in found.differences:
        yield _estimate("differences", d.arm, d.figure, d.plain, d.p, d.corrected)
        if d.at_equal_length:
            told = f"{d.figure} at equal length"
            yield _estimate("differences", d.arm, told, d.at_equal_length)


def _tax(page: ComparePage) -> Iterator[Row]:
    if page.tax is None or page.comparison is None:
        return
    for told, row in zip([*page.rounds, "to start"], [*page.tax.tax, page.tax.to_start],
                         strict=True):  # fmt: skip
        for name, value in zip(page.comparison.dimensions, row, strict=True):
            yield _row("tax", page.comparison.base, f"{name}, {told}", value)


def _targets(page: ComparePage) -> Iterator[Row]:
    targets = page.targets
    if targets is None or targets.found is None:
        return
    weights = targets.found.weights or (None,) * len(targets.values)
    for (name, value), weight in zip(targets.values.items(), weights, strict=True):
        yield _row("feasible", targets.source, f"{name} target", value)
        yield _row("feasible", targets.source, f"{name} weight", weight)
    yield _row("feasible", targets.source, "to spare", targets.found.slack)


def _sweep(page: ComparePage) -> Iterator[Row]:
    if page.sweep is None:
        return
    for i, (share, pairs) in enumerate(zip(page.sweep.shares, page.sweep.pairs, strict=True)):
        for name, values in page.sweep.rewards.items():
            yield _row("sweep", f"share {share:g}, {pairs:g} pairs", f"{name} reward", values[i])
