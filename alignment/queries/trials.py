"""What a judge's trial found: per text its judgements, and how much the judge disagrees with
itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from alignment.models import JudgeTrial


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One text with its judgement in each repeat; with another completion, the two compared."""

    prompt: str
    completion: str
    other: str | None
    judgements: list[dict[str, Any]]


def rows(trial: JudgeTrial) -> list[TrialRow]:
    """The trial's texts in order; without judgements until it is done."""
    return [
        TrialRow(
            prompt=prompt,
            completion=completion,
            other=other[0] if other else None,
            judgements=[repeat[i] for repeat in trial.results],
        )
        for i, (prompt, completion, *other) in enumerate(trial.items)
    ]


def repeat_noise(trial: JudgeTrial) -> float | None:
    """Standard deviation of one reward about the judge's own mean on the same text.

    Pooled over the texts with two valid scores or more, from rewards on the dimension's scale;
    None where there is none, or where completions were compared. The flat mining rule can take it
    as a dimension's threshold.
    """
    scale = trial.judge.dimension.record
    squares, freedom = 0.0, 0
    for row in (row for row in rows(trial) if row.other is None):
        raw = [found["raw"] for found in row.judgements if found["raw"] is not None]
        if len(raw) > 1:
            rewards = scale.normalise(raw)
            squares += float(np.sum((rewards - rewards.mean()) ** 2))
            freedom += len(raw) - 1
    return float(np.sqrt(squares / freedom)) if freedom else None
