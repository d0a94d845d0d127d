"""The outcome of a run as one hash: its rows by their natural keys, without ids, times or hosts."""

import json
from hashlib import sha256
from typing import Any

from alignment.models import Pair, Policy, Rollout, Run, Score, Verdict


def outcome_of(run: Run) -> str:
    """SHA-256 over the run's rollouts, scores, verdicts, pairs and adapters."""
    rows = [*_rollouts(run), *_scores(run), *_verdicts(run), *_pairs(run), *_adapters(run)]
    return sha256("\n".join(sorted(json.dumps(row) for row in rows)).encode()).hexdigest()


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


def _pairs(run: Run) -> list[Any]:
    columns = ("prompt__key", "chosen__index", "rejected__index", "margin", "gaps")
    return list(Pair.objects.filter(stage__run=run).values_list("stage__position", *columns))


def _adapters(run: Run) -> list[Any]:
    policies = Policy.objects.filter(stage__run=run)
    return list(policies.values_list("stage__position", "adapter_sha256", "sha256"))
