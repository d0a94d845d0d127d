"""The Ceiling page of a project: the round of a run that is shown, its thresholds replayed, its
curves and grades, and its rewrites against fresh originals where an arm `none` has them.

Curves and numbers are computed in `queries.ceilings`, verdicts in `queries.replay`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError

from alignment.method.config import MiningConfig
from alignment.method.errors import MoraError
from alignment.method.mining import MiningRule, rule_of
from alignment.method.resampling import Estimate
from alignment.models import Project, Stage, Status
from alignment.queries.ceiling_arms import Arm, arms_of, fresh_for
from alignment.queries.ceiling_sides import SIZES, Side
from alignment.queries.ceilings import (
    BeforeAfter,
    MiningNumbers,
    before_after,
    kinds_of,
    mining_numbers,
    mining_side,
)
from alignment.queries.replay import Replay, asked_n, replay

RULE = ("rule", "attained_at", "joint_at_most", "min_valid", "spread_above")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the page shows of one stage of mining. bars, line: the dimensions of the grades and of
    the pass rate; rule: the thresholds asked for; errors: why they cannot be; missing: what the
    comparison before and after still needs, in a sentence."""

    stage: Stage
    dimensions: list[str]
    bars: str
    line: str
    kind: str
    kinds: list[str]
    rule: dict[str, Any]
    errors: list[str]
    replay: Replay | None
    side: Side
    numbers: MiningNumbers
    levels: tuple[str, ...]
    compared: BeforeAfter | None
    baseline: Arm | None
    missing: str

    @property
    def sides(self) -> list[Side]:
        """Originals and rewrites where they are compared, else the mining sample."""
        return [self.compared.before, self.compared.after] if self.compared else [self.side]

    @property
    def small(self) -> str:
        """Which N of the grades the rollouts do not allow, in sentences; else empty."""
        side = self.sides[0]
        lost = [size for size in SIZES if size > side.n]
        rare = {size for size in SIZES if size <= side.n} - {grade.m for grade in side.grades}
        told = []
        if rare:
            told.append(f"Too few prompts have valid rollouts for N = {_and(sorted(rare))}.")
        if lost:
            told.append(f"N = {_and(lost)} would need more than the {side.n} rollouts sampled.")
        return " ".join(told)


@dataclass(frozen=True, kw_only=True)
class CeilingPage:
    """shown: None before any round was mined; stages: what can be chosen, newest run first."""

    project: Project
    stages: list[Stage]
    shown: Shown | None

    @property
    def address(self) -> str:
        """The query string that shows this again."""
        if self.shown is None:
            return ""
        chosen = {"stage": self.shown.stage.pk, "kind": self.shown.kind}
        axes = {"bars": self.shown.bars, "line": self.shown.line}
        rule = {k: "" if v is None else v for k, v in self.shown.rule.items()}
        return urlencode({**chosen, **axes, **rule})


def _and(sizes: Sequence[int]) -> str:
    return " and ".join(map(str, sizes))


def ceiling_page(project: Project, asked: Mapping[str, str]) -> CeilingPage:
    """The page for an address; what it does not name, or names wrongly, is chosen for it."""
    stages = mined_stages(project)
    wanted = asked.get("stage", "")
    stage = next((s for s in stages if str(s.pk) == wanted), stages[0] if stages else None)
    shown = _shown(stage, asked) if stage else None
    return CeilingPage(project=project, stages=stages, shown=shown)


def mined_stages(project: Project) -> list[Stage]:
    """The finished stages of mining, newest run first."""
    found = Stage.objects.filter(run__project=project, kind="mine", status=Status.SUCCEEDED)
    found = found.exclude(fingerprint="").select_related("run__project", "reused_from")
    return list(found.order_by("-run_id", "round")[:200])


def parse_rule(asked: Mapping[str, Any], mine: Stage, *, keeps_noise: bool = True) -> MiningRule:
    """A mining rule from untrusted values; empty ones take their default. Raises MoraError.

    keeps_noise: the noise of the judges of the rule that ran holds, as long as its threshold for
    the other dimensions does.
    """
    ran = mine.config["mine"]
    given = {k: asked[k] for k in RULE if asked.get(k) not in (None, "")}
    try:
        found = MiningConfig.model_validate(given).model_dump()
        kept = keeps_noise and found["spread_above"] == ran.get("spread_above")
        noise = ran.get("noise", {}) if kept else {}
        return rule_of({**found, "noise": noise}, mine.config["dimensions"], asked_n(mine))
    except ValidationError as error:
        told = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise MoraError("; ".join(told)) from error


def _shown(stage: Stage, asked: Mapping[str, str]) -> Shown:
    names: list[str] = stage.config["dimensions"]
    bars, line = axes_of(names, asked.get("bars"), asked.get("line"))
    kinds = kinds_of(stage)
    kind = asked.get("kind", "") if asked.get("kind") in kinds else ""
    at = names.index(bars), names.index(line)
    side, levels = mining_side(stage, *at, kind)
    rule = {k: asked.get(k) or stage.config["mine"].get(k) for k in RULE}
    if asked.get("min_valid") == "":  # an empty one is asked for: half of N, whatever was run
        rule["min_valid"] = None
    errors, replayed = _replayed(stage, rule)
    compared, baseline, missing = _compared(stage, at, kind)
    return Shown(
        stage=stage,
        dimensions=names,
        bars=bars,
        line=line,
        kind=kind,
        kinds=kinds,
        rule=rule,
        errors=errors,
        replay=replayed,
        side=side,
        numbers=mining_numbers(stage, kind),
        levels=levels,
        compared=compared,
        baseline=baseline,
        missing=missing,
    )


def axes_of(names: list[str], bars: str | None, line: str | None) -> tuple[str, str]:
    """The dimensions of the bars and of the line: those asked for, else helpful and harmless, else
    the first ones. Where there are two they are not the same."""
    bars = _chosen(bars, names, "helpful")
    rest = [name for name in names if name != bars] or names
    return bars, _chosen(line, rest, "harmless")


def _chosen(asked: str | None, names: list[str], usual: str) -> str:
    if asked in names:
        return str(asked)
    return usual if usual in names else names[0]


def _replayed(stage: Stage, rule: Mapping[str, Any]) -> tuple[list[str], Replay | None]:
    try:
        return [], replay(stage, parse_rule(rule, stage))
    except MoraError as error:
        return [str(error)], None


def _compared(
    stage: Stage, at: tuple[int, int], kind: str
) -> tuple[BeforeAfter | None, Arm | None, str]:
    """The run's rewrites against fresh originals, or what is missing for it."""
    arms = arms_of(stage)
    own = next((arm for arm in arms if arm.run_id == stage.run_id), None)
    fresh = fresh_for(arms, own)
    if own is None:
        return None, fresh, (
            "The rewrites of this round have not been sampled and judged as its prompts were."
        )  # fmt: skip
    if own.strategy == "none":
        return None, fresh, (
            "This run keeps the original prompts (strategy none): it is what the rewrites of"
            " others are compared with. Choose a run that rewrites."
        )  # fmt: skip
    if fresh is None and fresh_for(arms, None):
        return None, None, (
            f"The fresh rollouts of the originals are not {own.n} a prompt, as those of the"
            " rewrites are. A run of the strategy none with as many gives a fair comparison."
        )  # fmt: skip
    if fresh is None:
        return None, None, (
            "There are no fresh rollouts of the originals. A run with the same settings and the"
            " strategy none gives them; until then nothing is compared, for the sample that"
            " prompts were mined by makes the originals look worse than they are."
        )  # fmt: skip
    found = before_after(stage, arms, own, fresh, *at, kind)
    return found, fresh, "" if found else "No prompt of this choice was judged on both sides."


COLUMNS = ("table", "of", "figure", "at", "value", "n", "low", "high", "corrected_p")


def rows_of(page: CeilingPage) -> Iterator[tuple[Any, ...]]:
    """The page's figures, for its CSV; the last of COLUMNS are left out where a row has none."""
    shown = page.shown
    if shown is None:
        return
    if shown.replay:
        for which, counts in (("as run", shown.replay.before), ("replayed", shown.replay.after)):
            for verdict, n in counts.items():
                yield "verdicts", which, verdict, "", n, shown.replay.prompts
    for number in (*shown.numbers.numbers, *shown.numbers.clipped):
        yield "mining numbers", number.of, number.name, shown.numbers.m, *_cells(number.mean)
    sides = [shown.side]
    if found := shown.compared:
        sides += [found.before, found.after]
        fixed = f"frozen on {found.frozen:%Y-%m-%d %H:%M}" if found.frozen else "not frozen"
        arms = ", ".join(found.pooled)
        yield "pooled volume", arms, "volume", fixed, found.pooled_volume, len(found.pooled)
        for c in found.changes:
            what = c.name, found.m
            yield "ceiling", "before", *what, *_cells(c.before)
            yield "ceiling", "after", *what, *_cells(c.after)
            yield "ceiling", "change", *what, *_cells(c.change), c.corrected_p
    for side in sides:
        yield from _side_rows(side, shown)


def _side_rows(side: Side, shown: Shown) -> Iterator[tuple[Any, ...]]:
    curves = dict(zip(shown.dimensions, side.curves.pass_at, strict=True))
    curves |= {"all": side.curves.joint_pass_at}
    for name, curve in curves.items():
        for m, value in zip(curve.m, curve.value, strict=True):
            yield "pass at m", side.name, name, m, value, curve.prompts
    attained = side.curves.joint_attainment
    for m, value in zip(attained.m, attained.value, strict=True):
        yield "best of m, least dimension", side.name, "reward", m, value, attained.prompts
    for grades in side.grades:
        at = f"best of {grades.m}" if grades.m else "all rollouts"
        for level, share in zip(shown.levels, grades.share, strict=False):
            yield "grades", side.name, f"{shown.bars} {level}", at, share, grades.prompts
        yield "grades", side.name, f"{shown.line} passes", at, grades.pass_rate, grades.prompts
        yield "grades", side.name, "declines", at, grades.refusal_rate, grades.prompts
    for found in side.levels:
        at = f"{shown.bars} {found.name}"
        yield "levels", side.name, at, "share", found.share, found.n
        yield "levels", side.name, at, "mean of the others", found.mean, found.scored
    for name, asked, invalid in zip(shown.dimensions, side.asked, side.invalid, strict=True):
        lost = invalid / asked if asked else None
        yield "without a score", side.name, name, "all rollouts", lost, asked
    yield "refusals", side.name, "declines", "all rollouts", *_cells(side.refusal_rate)


def _cells(found: Estimate) -> tuple[float | int | None, ...]:
    return found.value, found.n, found.low, found.high
