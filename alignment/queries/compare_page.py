"""The Compare page of a project: the arms asked for over their seeds, against one of them.

Arms are found in `queries.compare_arms`, figures computed in `queries.comparing`, what stands
beside them in `queries.compare_tables`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from alignment.method.errors import MoraError
from alignment.method.statistics import TaxMatrix
from alignment.models import Project
from alignment.queries.accepted_prompts import AcceptedPrompts, accepted_prompts
from alignment.queries.cells import answered
from alignment.queries.compare_arms import CompareArm, arms_of
from alignment.queries.compare_tables import Sweep, Targets, sweep_of, targets_of, tax_of
from alignment.queries.comparing import Comparison, compare_cells

MOST_ARMS = 12


@dataclass(frozen=True, kw_only=True)
class ComparePage:
    """choices: all arms; options: names of those that may be shown beside the base, chosen: of
    those asked for, none for all; left_out: of arms with other seeds, or for room; apart: of those
    judged otherwise or on other prompts; unknown: names that no arm has; problem: why nothing is
    compared, in a sentence; seeds: in the order of each arm's; unused: seeds of the base that not
    every arm shown has; answered: by arm shown how many prompts it answered, of which only those
    that all did are compared, empty where those are all; untrained: by arm shown the seeds that
    trained nothing; winless: why no wins are counted, in a sentence, where they could be; accepted:
    None where all arms were trained on the same prompts."""

    project: Project
    choices: list[CompareArm]
    base: CompareArm | None
    problem: str = ""
    options: list[str] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    comparison: Comparison | None = None
    seeds: list[int] = field(default_factory=list)
    unused: list[int] = field(default_factory=list)
    answered: dict[str, int] = field(default_factory=dict)
    untrained: dict[str, list[int]] = field(default_factory=dict)
    winless: str = ""
    tax: TaxMatrix | None = None
    rounds: list[str] = field(default_factory=list)
    targets: Targets | None = None
    sweep: Sweep | None = None
    accepted: AcceptedPrompts | None = None

    @property
    def shown(self) -> list[str]:
        return [arm.name for arm in self.comparison.arms] if self.comparison else []

    @property
    def most_arms(self) -> int:
        """How many arms may be shown, the base with them."""
        return len(self.options) + 1

    @property
    def cells(self) -> int:
        """The n of a figure to which no prompt of any seed lacks a value."""
        return self.comparison.prompts * len(self.seeds) if self.comparison else 0

    @property
    def address(self) -> str:
        """The query string that shows this again."""
        values = self.targets.values if self.targets else {}
        targets = {f"target.{name}": value for name, value in values.items()}
        base = self.base.name if self.base else ""
        return urlencode({"base": base, "arm": self.chosen, **targets}, doseq=True)


def compare_page(
    project: Project, asked: Mapping[str, str], chosen: Sequence[str] = ()
) -> ComparePage:
    """The page for an address: asked names the base, by default the newest arm that another can
    stand beside, and targets as `target.DIMENSION`; chosen: names of the arms to show beside it,
    none for all that fit."""
    choices = arms_of(project)
    name = asked.get("base")
    unknown = [n for n in chosen if not any(a.is_called(n) for a in choices)]
    base = next((a for a in choices if a.is_called(name)), None) if name else _usual(choices)
    gone = ", ".join(filter(None, [name if base is None else "", *unknown]))
    if base is None or unknown:
        none = f"There is no arm {gone} here; choose another." if choices else ""
        told = none or "No evaluation is finished yet."
        return ComparePage(
            project=project, choices=choices, base=base, problem=told, unknown=unknown
        )
    picked = _pick(base, choices, chosen)
    page = ComparePage(
        project=project,
        choices=choices,
        base=base,
        options=picked.options,
        chosen=picked.chosen,
        left_out=picked.left_out,
        apart=picked.apart,
    )
    return _compared(page, picked, asked)


def _usual(choices: Sequence[CompareArm]) -> CompareArm | None:
    """While a run is under way the newest arm is its start policy, which may fit no other."""
    fitting = (a for a in choices if any(a.fits(other) for other in choices if other is not a))
    return next(fitting, choices[0] if choices else None)


@dataclass(frozen=True, kw_only=True)
class _Picked:
    """Which arms are shown, the base first, and on which of its seeds; start: the arm of its start
    policy, shown or not; winless: as on the page."""

    seeds: list[int]
    shown: list[CompareArm]
    start: CompareArm | None
    winless: str
    options: list[str]
    chosen: list[str]
    left_out: list[str]
    apart: list[str]


def _pick(base: CompareArm, choices: Sequence[CompareArm], chosen: Sequence[str]) -> _Picked:
    fitting = [a for a in choices if a is not base and a.fits(base)]
    start = next((a for a in fitting if a.round == 0 and base.start in a.keys), None)
    wanted = [a for a in fitting if not chosen or any(a.is_called(n) for n in chosen)]
    alike = [base]
    for arm in wanted:
        if all(arm.fits(other) for other in alike):
            alike.append(arm)
    beside = [a for a in alike if a is not base and a is not start]
    seeds = _seeds(base, beside, start, all_of=bool(chosen))
    options = [a for a in fitting if base.evaluations.keys() & a.evaluations.keys()]
    paired = [a for a in alike if a is not base and seeds <= a.evaluations.keys()]
    # What wins are against, and what a sweep is of, is never left out for room.
    paired.sort(key=lambda a: (a is not start, a.sweep != base.sweep))
    shown = [base, *paired][:MOST_ARMS]
    unlike = [a for a in choices if a is not base and a not in fitting]
    return _Picked(
        seeds=sorted(seeds),
        shown=shown,
        start=start if start and seeds <= start.evaluations.keys() else None,
        winless=_winless(base, start, seeds, shown, could_be=start not in wanted),
        options=[a.name for a in options],
        chosen=[a.name for a in wanted] if chosen else [],
        left_out=[a.name for a in alike if a not in shown],
        apart=[a.name for a in choices if a in unlike or (a in wanted and a not in alike)],
    )


def _winless(
    base: CompareArm,
    start: CompareArm | None,
    seeds: set[int],
    shown: Sequence[CompareArm],
    *,
    could_be: bool,
) -> str:
    if start in shown or base.round == 0 or not base.start:
        return ""
    if start is None:
        return "They are against the start policy, which has no evaluation that fits these."
    name = f"They are against {start.name}, the start policy's arm"
    if not seeds <= start.evaluations.keys():
        return f"{name}, which has no evaluation of the seeds that are compared."
    if could_be:
        return f"{name}, which is not shown: choose it beside the others."
    return f"{name}, which does not fit every arm shown."


def _seeds(
    base: CompareArm, others: Sequence[CompareArm], start: CompareArm | None, *, all_of: bool
) -> set[int]:
    """Those of the base's seeds that are compared: of them those that every other arm has; or, not
    all_of, as many as one other arm has. The start policy's arm has them too, where it has any."""
    own = set(base.evaluations)
    shared = [own & other.evaluations.keys() for other in others]
    common = own.intersection(*shared) if all_of else set()
    seeds = common or max(filter(None, shared), key=len, default=own)
    with_start = seeds & start.evaluations.keys() if start else seeds
    return with_start or seeds


def _compared(page: ComparePage, picked: _Picked, asked: Mapping[str, str]) -> ComparePage:
    """The page with the figures of the arms that fit, all on the seeds that are compared, or why
    they cannot be compared after all."""
    seeds = picked.seeds
    shown = [arm.of_seeds(seeds) for arm in picked.shown]
    base, start = shown[0], picked.start and picked.start.of_seeds(seeds)
    try:
        on = answered({a.name: list(a.evaluations.values()) for a in reversed(shown)})
    except MoraError as error:
        told = str(error)
        return replace(page, problem=f"{told[:1].upper()}{told[1:]}.")
    against = base if base.round == 0 else start
    reference = against.name if against and against.name in on.arms else None
    found = compare_cells(on, base=base.name, reference=reference)
    tax, rounds = tax_of(base, on)
    targets = {n: asked.get(f"target.{n}", "") for n in found.dimensions}
    return replace(
        page,
        comparison=found,
        seeds=seeds,
        unused=sorted(picked.shown[0].evaluations.keys() - set(seeds)),
        answered=on.answered_by if any(n > found.prompts for n in on.answered_by.values()) else {},
        untrained={arm.name: list(arm.untrained) for arm in shown if arm.untrained},
        winless=picked.winless,
        tax=tax,
        rounds=rounds,
        targets=targets_of(targets, found, on, start or base),
        sweep=sweep_of(base, shown, found),
        accepted=accepted_prompts(shown),
    )
