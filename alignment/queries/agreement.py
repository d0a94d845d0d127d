"""How far reviewers agree: on decisions, on each rating, and on completions rated elsewhere.

Standing reviews only; adjudications, skips and flags are no ratings. Aggregates, so they give
nobody's answer away.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from alignment.method.agreement import (
    Agreement,
    Rating,
    cohen_kappa,
    krippendorff_alpha,
    percent_agreement,
)
from alignment.models import Project, Review, RolloutRating, Stage
from alignment.reviewing import DECISIVE

SEED = 1
DECISION = "decision"
Level = Literal["nominal", "ordinal"]
Given = tuple[int, int, str | int]  # unit, reviewer, value


@dataclass(frozen=True, kw_only=True)
class AgreementRow:
    """Agreement on a question. version: of the guideline that the reviews were made under, None for
    all together; reviewers: who rated a unit that another rated too. Where a figure is undefined
    its `reason` is a sentence."""

    question: str
    level: Level
    version: int | None
    reviewers: int
    percent: Agreement
    kappa: Agreement
    alpha: Agreement


def review_agreement(project: Project, stage: Stage | None = None) -> list[AgreementRow]:
    """Per question (the decision, then each rating) a row over all reviews of the stage, or of the
    project, then one for each version of the guideline that reviews were made under."""
    found = Review.objects.filter(
        item__stage__run__project=project,
        withdrawn_at=None,
        adjudicates=False,
        decision__in=DECISIVE,
    )
    found = found.filter(item__stage=stage) if stage else found.filter(carried_from=None)
    rows = list(
        found.values_list("item_id", "reviewer_id", "guideline__version", "decision", "ratings")
    )
    versions: list[int | None] = [None, *sorted({row[2] for row in rows if row[2] is not None})]
    return [
        _row(question, version, _given(rows, question, version))
        for question in (DECISION, *Review.Question.values)
        for version in versions
    ]


def rollout_agreement(project: Project, question: str, policy: str = "") -> AgreementRow:
    """Agreement of who rated completions elsewhere on a question, of one policy or of all."""
    found = RolloutRating.objects.filter(reviewer__project=project, question=question)
    if policy:
        found = found.filter(rollout__sampling__policy__name=policy)
    return _row(question, None, list(found.values_list("rollout_id", "reviewer_id", "value")))


def rollout_questions(project: Project) -> list[tuple[str, str]]:
    """The questions that completions were rated on elsewhere, each with a policy rated on it."""
    found = RolloutRating.objects.filter(reviewer__project=project)
    pairs = found.values_list("question", "rollout__sampling__policy__name").distinct()
    return sorted(pairs)


def elsewhere(project: Project) -> list[tuple[str, AgreementRow]]:
    """By policy and question, how far those agree who rated its completions elsewhere."""
    asked = rollout_questions(project)
    return [(policy, rollout_agreement(project, question, policy)) for question, policy in asked]


def _given(
    rows: Iterable[tuple[int, int, int | None, str, dict[str, int]]],
    question: str,
    version: int | None,
) -> list[Given]:
    chosen = [row for row in rows if version is None or row[2] == version]
    if question == DECISION:
        return [(item, who, decision) for item, who, _, decision, _ in chosen]
    return [(item, who, r[question]) for item, who, _, _, r in chosen if question in r]


def _row(question: str, version: int | None, given: Sequence[Given]) -> AgreementRow:
    units: dict[int, dict[int, str | int]] = defaultdict(dict)
    for unit, who, value in given:
        units[unit][who] = value
    shared = [units[unit] for unit in sorted(units) if len(units[unit]) > 1]
    people = sorted({who for unit in shared for who in unit})
    table: list[list[Rating]] = [[unit.get(who) for who in people] for unit in shared]
    level: Level = "ordinal" if question in Review.Question.values else "nominal"
    return AgreementRow(
        question=question,
        level=level,
        version=version,
        reviewers=len(people),
        percent=percent_agreement(table, seed=SEED),
        kappa=_kappa(table, len(people)),
        alpha=krippendorff_alpha(table, level=level, seed=SEED),
    )


def _kappa(table: Sequence[Sequence[Rating]], people: int) -> Agreement:
    if people != 2:
        reason = f"Cohen's kappa is for two reviewers; here are {people}."
        reason = reason if people else "No item has two ratings."
        return Agreement(value=None, low=None, high=None, n=len(table), reason=reason)
    first, second = zip(*table, strict=True)
    return cohen_kappa(first, second, seed=SEED)
