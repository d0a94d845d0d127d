"""What a judge's trial found: per text its judgements, and how much the judge disagrees with
itself."""

from dataclasses import dataclass
from typing import Any

from alignment.method import mining
from alignment.models import Judge, JudgeTrial


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
    """How much the judge disagrees with itself, from rewards on the dimension's scale; None where
    no text has two valid scores, or where completions were compared."""
    scale = trial.judge.dimension.record
    alone = [row.judgements for row in rows(trial) if row.other is None]
    valid = [[j["raw"] for j in judgements if j["raw"] is not None] for judgements in alone]
    return mining.repeat_noise([scale.normalise(raw) for raw in valid if raw])


def measured_noise(judge: Judge) -> float | None:
    """The judge's repeat noise by the latest trial that tells it of this version; None for none."""
    done = judge.trials.filter(
        state=JudgeTrial.State.DONE, judge_version=judge.version, repeats__gt=1
    )
    told = (repeat_noise(trial) for trial in done.select_related("judge__dimension"))
    return next((noise for noise in told if noise is not None), None)
