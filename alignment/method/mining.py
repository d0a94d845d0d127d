"""Which prompts reward only one side: the rules `capped` and `flat`, and their verdicts.

Rules replay on stored scores, for one prompt or for very many at once by the same arithmetic.
What is then done with a mined prompt, and the numbers of its ceiling, are elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from alignment.method.ceiling import default_min_valid
from alignment.method.records import (
    DECIMALS,
    Bools,
    Dimension,
    Floats,
    Ints,
    PromptScores,
    check_columns,
    passes_of,
    rewards_of,
)

VERDICTS = ("undecided", "unreachable", "open", "conflict", "single_reward")
MINED = frozenset({"conflict", "single_reward"})
UNDECIDED, UNREACHABLE, OPEN, CONFLICT, SINGLE_REWARD = range(len(VERDICTS))
LABELS = ("", "varying", "saturated", "floored")


@dataclass(frozen=True, kw_only=True)
class MiningRule:
    """A rule with its thresholds; `capped` reads the first two, `flat` the last.

    min_valid: rollouts valid on every dimension that a verdict needs; None is half of a prompt's
    rollouts, at least 4. spread_above: standard deviation of rewards above which a dimension
    varies, one for all or one per dimension (the default where a judge's repeat noise is unknown).
    """

    rule: Literal["capped", "flat"] = "capped"
    attained_at: float = 0.5
    joint_at_most: float = 0.1
    min_valid: int | None = None
    spread_above: float | tuple[float, ...] = 0.05


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What mining says of a prompt; dimensions by name, in their order.

    attained and missing split the dimensions, except that both are empty where the verdict is
    `undecided`, and where `flat` finds other than one varying dimension. labels, of `flat` alone,
    calls each dimension varying, saturated (its mean reaches the bar) or floored.
    """

    verdict: str
    attained: tuple[str, ...]
    missing: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def mined(self) -> bool:
        """Whether the prompt is to be rewritten."""
        return self.verdict in MINED


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdicts:
    """Verdicts of P prompts on K dimensions.

    code (P,): index into VERDICTS; attained, missing (P, K); label (P, K): index into LABELS.
    """

    dims: tuple[Dimension, ...]
    code: Ints
    attained: Bools
    missing: Bools
    label: Ints

    def row(self, prompt: int) -> Verdict:
        """The verdict of one prompt."""
        return Verdict(
            verdict=VERDICTS[self.code[prompt]],
            attained=self._names(self.attained[prompt]),
            missing=self._names(self.missing[prompt]),
            labels=tuple(LABELS[i] for i in self.label[prompt] if i),
        )

    def _names(self, chosen: Bools) -> tuple[str, ...]:
        return tuple(d.name for d, picked in zip(self.dims, chosen, strict=True) if picked)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """What the rules need of P prompts; computed once, thresholds replay on it.

    n, n_J, c_J (P,): rollouts, those valid on all dimensions, of these those passing all. c_k,
    spread, reached (P, K), on the n_J rollouts: passes, standard deviation of the rewards, and
    whether the mean raw score reaches the bar.
    """

    dims: tuple[Dimension, ...]
    n: Ints
    n_J: Ints
    c_J: Ints
    c_k: Ints
    spread: Floats
    reached: Bools


def rule_of(settings: Mapping[str, Any], dimensions: Sequence[str], n: int) -> MiningRule:
    """The rule of a run's settings: a dimension whose judge's noise is known has that threshold.

    n: rollouts a prompt that were asked for, of which some may not have come.
    """
    own = {name: value for name, value in settings.items() if name != "noise"}
    rule = MiningRule(**own)
    if rule.min_valid is None:
        rule = replace(rule, min_valid=default_min_valid(n))
    if not (noise := settings.get("noise")):
        return rule
    above = tuple(noise.get(name, rule.spread_above) for name in dimensions)
    return replace(rule, spread_above=above)


def mine(scores: PromptScores, rule: MiningRule) -> Verdict:
    """The verdict on one prompt; raises ValueError where there is only one dimension."""
    prompt = np.zeros(len(scores.raw), dtype=np.int64)
    return mine_many(scores.dims, scores.raw, prompt, rule, prompts=1).row(0)


def mine_many(
    dims: tuple[Dimension, ...],
    raw: Floats,
    prompt: Ints,
    rule: MiningRule,
    *,
    prompts: int | None = None,
) -> Verdicts:
    """Verdicts on many prompts from raw scores (R, K) and each row's prompt index (R,)."""
    return decide(tally(dims, raw, prompt, prompts=prompts), rule)


def tally(
    dims: tuple[Dimension, ...], raw: Floats, prompt: Ints, *, prompts: int | None = None
) -> Tally:
    """Counts and spreads of raw scores (R, K) grouped by prompt index (R,), 0 to prompts - 1.

    A prompt index without rows has counts of 0. NaN is no score. Rows may come in any order.
    """
    check_columns(dims, raw)
    size = prompts if prompts is not None else int(prompt.max(initial=-1)) + 1
    joint = np.isfinite(raw).all(axis=1)
    raw_J, at = raw[joint], prompt[joint]
    passed = passes_of(dims, raw_J)
    return Tally(
        dims=dims,
        n=np.bincount(prompt, minlength=size),
        n_J=np.bincount(at, minlength=size),
        c_J=np.bincount(at[passed.all(axis=1)], minlength=size),
        c_k=np.stack([np.bincount(at[column], minlength=size) for column in passed.T], axis=1),
        spread=_spread(rewards_of(dims, raw_J), at, size),
        reached=passes_of(dims, np.round(_mean(raw_J, at, size), DECIMALS)),
    )


def decide(counted: Tally, rule: MiningRule) -> Verdicts:
    """Verdicts from a tally; raises ValueError where there is only one dimension."""
    if len(counted.dims) < 2:
        raise ValueError(
            "Single-reward prompts are mined on two or more dimensions; "
            f"only {counted.dims[0].name!r} is given."
        )
    half = np.maximum(4, (counted.n + 1) // 2)
    needed = half if rule.min_valid is None else np.full_like(half, rule.min_valid)
    # No dimension has fewer valid rollouts than all of them have at once.
    undecided = (counted.n_J < needed) | (counted.n_J == 0)
    if rule.rule == "capped":
        return _capped(counted, rule, undecided)
    return _flat(counted, rule, undecided)


def repeat_noise(readings: Iterable[Sequence[float] | Floats]) -> float | None:
    """A judge's repeat noise, a threshold of `flat`: the standard deviation of one reading about
    the judge's own mean on the same text.

    readings: per text the rewards that it was given, the unread ones left out. Pooled over the
    texts with two or more, sqrt(sum of squares / degrees of freedom), which for two readings each
    is Dahlberg's sqrt(mean(d^2) / 2); None where there is no such text.
    """
    squares, freedom = 0.0, 0
    for rewards in (np.asarray(r, dtype=np.float64) for r in readings if len(r) > 1):
        squares += float(np.sum((rewards - rewards.mean()) ** 2))
        freedom += len(rewards) - 1
    return float(np.sqrt(squares / freedom)) if freedom else None


def _capped(counted: Tally, rule: MiningRule, undecided: Bools) -> Verdicts:
    total = np.maximum(counted.n_J, 1)
    p_k = counted.c_k / total[:, None]
    attained = p_k >= rule.attained_at
    some, every = attained.any(axis=1), attained.all(axis=1)
    low_joint = counted.c_J / total <= rule.joint_at_most
    code = np.select(
        [undecided, ~some, ~low_joint, every],
        [UNDECIDED, UNREACHABLE, OPEN, CONFLICT],
        SINGLE_REWARD,
    )
    # argmax takes the first of equals, which is the order of the dimensions.
    best = np.arange(p_k.shape[1]) == p_k.argmax(axis=1)[:, None]
    attained = np.where((code == CONFLICT)[:, None], best, attained)
    known = ~undecided[:, None]
    return Verdicts(
        dims=counted.dims,
        code=code,
        attained=attained & known,
        missing=~attained & known,
        label=np.zeros(attained.shape, dtype=np.int64),
    )


def _flat(counted: Tally, rule: MiningRule, undecided: Bools) -> Verdicts:
    K = len(counted.dims)
    above = np.asarray(rule.spread_above, dtype=np.float64)
    if above.shape not in ((), (K,)):
        raise ValueError(f"spread_above needs one number, or one for each of {K} dimensions.")
    undecided = undecided | (counted.n_J < 2)
    varying = counted.spread > np.round(above, DECIMALS)
    single = (varying.sum(axis=1) == 1) & ~undecided
    label = np.where(varying, 1, np.where(counted.reached, 2, 3))
    return Verdicts(
        dims=counted.dims,
        code=np.select([undecided, single], [UNDECIDED, SINGLE_REWARD], OPEN),
        attained=varying & single[:, None],
        missing=~varying & single[:, None],
        label=np.where(undecided[:, None], 0, label),
    )


def _mean(values: Floats, at: Ints, size: int) -> Floats:
    """Means (size, K) of rows (R, K) by group; of an empty group 0."""
    total = np.maximum(np.bincount(at, minlength=size), 1)
    sums = np.stack([np.bincount(at, weights=c, minlength=size) for c in values.T], axis=1)
    return sums / total[:, None]


def _spread(rewards: Floats, at: Ints, size: int) -> Floats:
    """Population standard deviations (size, K) by group; rounded, so 0 of a constant group."""
    squares = (rewards - _mean(rewards, at, size)[at]) ** 2
    deviations: Floats = np.sqrt(_mean(squares, at, size))
    return np.round(deviations, DECIMALS)
