"""Mining thresholds replayed on stored scores: what another rule would have said of a round.

No worker and no GPU takes part. What the rules need of the scores is counted once per finished
sampling and kept, so a change of thresholds is a few comparisons per prompt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alignment.method.errors import MoraError
from alignment.method.mining import (
    MINED,
    VERDICTS,
    MiningRule,
    Tally,
    Verdicts,
    decide,
    rule_of,
    tally,
)
from alignment.models import Judge, Stage, Status
from alignment.queries.scores import raw_scores


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Verdicts on the prompts of a round by the rule that ran and by another, in the order of
    VERDICTS; mined: how many each would rewrite; changed: prompts with another verdict."""

    prompts: int
    before: dict[str, int]
    after: dict[str, int]
    mined_before: int
    mined_after: int
    changed: int


def replay(stage: Stage, rule: MiningRule) -> Replay:
    """Replay a rule on the scores that a finished stage of mining read.

    Raises MoraError where the stage has not finished, or a threshold cannot be.
    """
    if stage.status != Status.SUCCEEDED or not stage.fingerprint:
        raise MoraError("this round's scores are not complete; wait until mining has ended")
    counted = tally_of(stage)
    settings, names = stage.config["mine"], stage.config["dimensions"]
    ran = decide(counted, rule_of(settings, names, asked_n(stage)))
    try:
        asked = decide(counted, rule)
    except ValueError as error:
        raise MoraError(str(error)) from error
    return Replay(
        prompts=len(counted.n),
        before=_counts(ran),
        after=_counts(asked),
        mined_before=_mined(ran),
        mined_after=_mined(asked),
        changed=int((ran.code != asked.code).sum()),
    )


def tally_of(stage: Stage) -> Tally:
    """The counts of a finished stage of mining, on the scores of its round's judges."""
    sample = sample_of(stage)
    judges = judges_of(stage)
    key = tuple((j.pk, j.version, repr(j.dimension.record)) for j in judges)
    return _tally(sample.sampling.pk, key)


def sample_of(mine: Stage) -> Stage:
    """Where the rollouts lie that the stage of mining read."""
    found = Stage.objects.filter(run=mine.run_id, round=mine.round, kind="sample")
    return found.select_related("reused_from").get().source


def asked_n(mine: Stage) -> int:
    """Rollouts a prompt that the round's sampling was asked for."""
    return int(sample_of(mine).config["sample"]["n"])


def judges_of(mine: Stage) -> list[Judge]:
    """The judges that the stage of mining read, in the order of its dimensions, each in the
    version that scored."""
    found = Stage.objects.filter(run=mine.run_id, round=mine.round, kind="score")
    score = found.select_related("reused_from").get()
    named = score.config["judges"]
    judges = Judge.objects.filter(project=mine.run.project_id, name__in=named.values())
    by_name = {judge.name: judge for judge in judges.select_related("dimension")}
    for name, version in score.source.facts.get("versions", {}).items():
        by_name[name].version = version
    return [by_name[named[dimension]] for dimension in mine.config["dimensions"]]


@lru_cache(maxsize=8)
def _tally(sampling_id: int, judges: Sequence[tuple[int, int, str]]) -> Tally:
    """Counts by prompt, in ascending order of prompt ids; a change of a scale is another key."""
    rows = Judge.objects.select_related("dimension").in_bulk([pk for pk, *_ in judges])
    found = [rows[pk] for pk, *_ in judges]
    prompt, raw = raw_scores(sampling_id, found, [version for _, version, _ in judges])
    dims = tuple(judge.dimension.record for judge in found)
    return tally(dims, raw, np.unique(prompt, return_inverse=True)[1].reshape(-1))


def _counts(verdicts: Verdicts) -> dict[str, int]:
    found = Counter(verdicts.code.tolist())
    return {name: found[i] for i, name in enumerate(VERDICTS)}


def _mined(verdicts: Verdicts) -> int:
    return int(np.isin(verdicts.code, [VERDICTS.index(name) for name in MINED]).sum())
