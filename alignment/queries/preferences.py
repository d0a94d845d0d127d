"""Win rates by judges that compared two policies' completions of each prompt in both orders."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from django.db.models import QuerySet
from django.db.models.functions import Coalesce

from alignment.method.statistics import WinRate, win_rate
from alignment.models import Evaluation, Preference, Sampling
from alignment.queries.scores import Judged

_Row = tuple[str, int, float, float]  # parent, seed, outcome shown first and second
Key = tuple[str, int, int, int, int]  # dimension, judge, its version, own rollout, the other's


def preferred(
    own: Sequence[Evaluation], against: Sequence[Evaluation], seed: int
) -> dict[str, WinRate]:
    """By dimension the win rate of policies against others, paired by seed; no dimension on which
    nothing was compared. A prompt of each seed counts once, clustered by its parent; where a
    policy has no completion of it, it is invalid.

    A judge compared each policy with the evaluation of the start policy that its own run had, which
    is another one than theirs where runs were started together.
    """
    found: dict[str, list[_Row]] = {}
    lacking: Counter[str] = Counter()
    for s, (mine, theirs) in enumerate(zip(own, against, strict=True)):
        start = _start_of(mine)
        if start is None or start.policy_id != theirs.policy_id:
            continue
        first = _outcomes(mine.sampling_id, start.pk, "first", "second")
        second = _outcomes(mine.sampling_id, start.pk, "second", "first")
        for key in sorted(first.keys() & second.keys()):
            parent, shown_first = first[key]
            _, other = second[key]
            found.setdefault(key[0], []).append((parent, s, shown_first, 1 - other))
        if mine.stage is not None:
            lacking.update(mine.stage.facts.get("not_compared", {}))
    return {name: _rate(rows, lacking[name], seed) for name, rows in found.items()}


def _start_of(evaluation: Evaluation) -> Sampling | None:
    """What the run's start policy answered where it was evaluated."""
    if evaluation.stage is None:
        return None
    start = evaluation.stage.start_evaluation
    return Sampling.objects.filter(evaluations__stage=start).first()


def compared_by(evaluations: Sequence[Evaluation]) -> dict[int, Judged]:
    """By evaluation after a round the judges that put it beside the start policy's, with their
    versions; those never edited are left out, for they have one."""
    after = {e.sampling_id: e.pk for e in evaluations if e.stage is not None and e.stage.round}
    rows = Preference.objects.filter(first__sampling__in=after, judge__version__gt=1)
    found: dict[int, set[tuple[int, int]]] = {}
    columns = ("first__sampling", "judge", "judge_version")
    for sampling, judge, version in rows.values_list(*columns).distinct():
        found.setdefault(after[sampling], set()).add((judge, version))
    return {pk: tuple(sorted(own)) for pk, own in found.items()}


def _outcomes(own: int, other: int, mine: str, theirs: str) -> dict[Key, tuple[str, float]]:
    """The prompt's key and the outcome for the completion shown first, NaN for none."""
    rows: QuerySet[Preference] = Preference.objects.filter(
        **{f"{mine}__sampling": own, f"{theirs}__sampling": other}
    )
    parent = Coalesce("first__prompt__parent__key", "first__prompt__key")
    columns = ("judge__dimension__name", "judge_id", "judge_version", f"{mine}_id", f"{theirs}_id")
    return {
        tuple(key): (parent_key, np.nan if outcome is None else outcome)
        for parent_key, outcome, *key in rows.values_list(parent, "outcome", *columns)
    }


def _rate(rows: Sequence[_Row], lacking: int, seed: int) -> WinRate:
    parents, seeds, first, second = zip(*rows, strict=True)
    found = win_rate(first, second, parents, seeds, seed=seed)
    invalid = (found.invalid_share or 0.0) * len(rows) + lacking
    return replace(found, invalid_share=invalid / (len(rows) + lacking))
