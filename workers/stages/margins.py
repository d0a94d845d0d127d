"""The gate that what is trained on is what was scored: margins of the pairs, computed again from
the stored scores, by a way of its own."""

from collections.abc import Mapping, Sequence
from math import fsum, isnan, nan
from typing import Any

import numpy as np
from django.db.models import F

from alignment.models import Pair, Score, Stage
from workers import store
from workers.stages.job import before

TOLERANCE = 1e-9
Text = tuple[int, int, str]  # sampling, prompt and completion: equal completions are one


def gate(stage: Stage, pairs: Sequence[Pair]) -> dict[str, Any]:
    """The largest difference between a trained pair's margin and that of the stored scores.

    Null where a score is no longer there in its judge's present version; the gate has then failed.
    """
    asked = before(stage, "pair")
    rewards = _rewards(stage, pairs, asked.config["dimensions"])
    off = [abs(_margin(pair, rewards, asked.config) - pair.margin) for pair in pairs]
    missing = any(isnan(one) for one in off)
    worst = max(off, default=0.0)
    return {
        "name": "margins are those of the stored scores",
        "passed": not missing and worst <= TOLERANCE,
        "value": None if missing else worst,
        "expected": 0.0,
        "tolerance": TOLERANCE,
    }


def _margin(
    pair: Pair, rewards: Mapping[Text, Mapping[str, float]], config: Mapping[str, Any]
) -> float:
    chosen, rejected = (rewards.get(_text(r), {}) for r in (pair.chosen, pair.rejected))
    gaps = {d: chosen.get(d, nan) - rejected.get(d, nan) for d in config["dimensions"]}
    return fsum(config["weights"][d] * gap for d, gap in gaps.items())


def _rewards(
    stage: Stage, pairs: Sequence[Pair], names: Sequence[str]
) -> dict[Text, dict[str, float]]:
    """Per completion and dimension the reward of its mean raw score over the equal ones that
    stopped by themselves and have every score."""
    dims = {d.name: d for d in store.dimensions(stage.run.project, names)}
    judges = before(stage, "rescore").source.config["judges"]
    rollouts = [r for pair in pairs for r in (pair.chosen, pair.rejected)]
    scores = Score.objects.filter(
        rollout__sampling__in={r.sampling_id for r in rollouts},
        rollout__prompt__in={r.prompt_id for r in rollouts},
        judge__in=store.judges(stage.run.project, [judges[name] for name in names]),
        judge_version=F("judge__version"),
    ).exclude(raw=None)
    scores = scores.exclude(rollout__finish_reason="length").select_related("rollout")
    raw: dict[Text, dict[int, dict[str, float]]] = {}
    for score in scores.annotate(dimension=F("judge__dimension__name")):
        assert score.raw is not None
        own = raw.setdefault(_text(score.rollout), {}).setdefault(score.rollout_id, {})
        own[score.dimension] = score.raw
    whole = {
        text: [own for own in copies.values() if len(own) == len(dims)]
        for text, copies in raw.items()
    }
    return {
        text: {
            name: float(dim.normalise(np.mean([own[name] for own in copies])))
            for name, dim in dims.items()
        }
        for text, copies in whole.items()
        if copies
    }


def _text(rollout: Any) -> Text:
    return (rollout.sampling_id, rollout.prompt_id, rollout.text)
