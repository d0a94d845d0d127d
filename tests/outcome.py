"""The outcome of a run as one hash: its rows by their natural keys, without ids, times or hosts."""

import json
from hashlib import sha256
from typing import Any

from alignment.models import Pair, Policy, Review, Rollout, Run, Score, Verdict


def outcome_of(run: Run) -> str:
    """SHA-256 over the run's rollouts, scores, verdicts, reviews, pairs and adapters."""
    return hash_of(rows_of(run))


def hash_of(rows: list[str]) -> str:
    return sha256("\n".join(rows).encode()).hexdigest()


def rows_of(run: Run) -> list[str]:
    """Every row of the outcome as JSON, sorted; each begins with what it is."""
    tables = {
        "rollout": _rollouts(run),
        "score": _scores(run),
        "verdict": _verdicts(run),
        "review": _reviews(run),
        "pair": _pairs(run),
        "adapter": _adapters(run),
    }
    return sorted(json.dumps([name, *row]) for name, rows in tables.items() for row in rows)


def _rollouts(run: Run) -> list[Any]:
    columns = ("sampling__stage__position", "prompt__key", "index", "text", "finish_reason", "seed")
    return list(Rollout.objects.filter(sampling__stage__run=run).values_list(*columns))


def _scores(run: Run) -> list[Any]:
    rollout = ("rollout__sampling__stage__position", "rollout__prompt__key", "rollout__index")
    scores = Score.objects.filter(rollout__sampling__stage__run=run)
    return list(scores.values_list(*rollout, "judge__name", "raw", "reward"))


def _verdicts(run: Run) -> list[Any]:
    columns = ("stage__position", "prompt__key", "verdict", "missing", "counts", "ceiling")
    return list(Verdict.objects.filter(stage__run=run).values_list(*columns))


def _reviews(run: Run) -> list[Any]:
    columns = ("item__stage__position", "item__prompt__key", "reviewer__name")
    reviews = Review.objects.filter(item__stage__run=run)
    return list(reviews.values_list(*columns, "decision", "edited_text", "reason", "words"))


def _pairs(run: Run) -> list[Any]:
    columns = ("prompt__key", "chosen__index", "rejected__index", "margin", "gaps")
    return list(Pair.objects.filter(stage__run=run).values_list("stage__position", *columns))


def _adapters(run: Run) -> list[Any]:
    policies = Policy.objects.filter(stage__run=run)
    return list(policies.values_list("stage__position", "adapter_sha256", "sha256"))
