"""Mining thresholds replayed on stored scores: what another rule would have said of a round.

What the rule that ran said is read from its verdicts; every prompt that has one counts. No worker
and no GPU takes part. What the rules need of the scores is counted once per finished sampling and
kept, so a change of thresholds is a few comparisons per prompt.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alignment.method.errors import MoraError
from alignment.method.mining import (
    MINED,
    VERDICTS,
    MiningRule,
    Tally,
    decide,
    rule_of,
    tally,
)
from alignment.method.records import Ints
from alignment.models import Judge, Stage, Status, Verdict
from alignment.queries.scores import Key, judges_of_key, key_of, raw_scores


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Verdicts on the prompts of a round by the rule that ran and by another, in the order of
    VERDICTS; mined: how many each would rewrite; changed: prompts with another verdict.
    outdated: prompts whose verdict the rule that ran would not give on what is stored now."""

    prompts: int
    before: dict[str, int]
    after: dict[str, int]
    mined_before: int
    mined_after: int
    changed: int
    outdated: int


def replay(stage: Stage, rule: MiningRule) -> Replay:
    """Replay a rule on the scores that a finished stage of mining read.

    Raises MoraError where the stage has not finished, or a threshold cannot be.
    """
    if stage.status != Status.SUCCEEDED or not stage.fingerprint:
        raise MoraError("this round's scores are not complete; wait until mining has ended")
    stored = _verdicts(stage.source.pk)[1]
    settings, names = stage.config["mine"], stage.config["dimensions"]
    counted = tally_of(stage)
    try:
        ran = decide(counted, rule_of(settings, names, asked_n(stage))).code
        asked = decide(counted, rule).code
    except ValueError as error:
        raise MoraError(str(error)) from error
    return Replay(
        prompts=len(stored),
        before=_counts(stored),
        after=_counts(asked),
        mined_before=_mined(stored),
        mined_after=_mined(asked),
        changed=int((stored != asked).sum()),
        outdated=int((stored != ran).sum()),
    )


def tally_of(stage: Stage) -> Tally:
    """The counts of a finished stage of mining, on the scores of its round's judges, by prompt that
    has a verdict; one without rollouts has counts of 0."""
    return _tally(stage.source.pk, sample_of(stage).sampling.pk, key_of(judges_of(stage)))


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
def _verdicts(mine_id: int) -> tuple[Ints, Ints]:
    """Of a finished stage of mining: the ids (P,) of its prompts, ascending, and its verdicts on
    them as indices into VERDICTS."""
    rows = Verdict.objects.filter(stage=mine_id).order_by("prompt_id")
    found = [(pk, VERDICTS.index(name)) for pk, name in rows.values_list("prompt_id", "verdict")]
    prompts, code = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return prompts, code


@lru_cache(maxsize=8)
def _tally(mine_id: int, sampling_id: int, judges: Key) -> Tally:
    """Counts by prompt, in ascending order of prompt ids; a change of a scale is another key."""
    found = judges_of_key(judges)
    prompt, raw = raw_scores(sampling_id, found)
    dims = tuple(judge.dimension.record for judge in found)
    prompts, _ = _verdicts(mine_id)
    return tally(dims, raw, np.searchsorted(prompts, prompt), prompts=len(prompts))


def _counts(code: Ints) -> dict[str, int]:
    found = Counter(code.tolist())
    return {name: found[i] for i, name in enumerate(VERDICTS)}


def _mined(code: Ints) -> int:
    return int(np.isin(code, [VERDICTS.index(name) for name in MINED]).sum())
