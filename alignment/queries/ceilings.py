"""The ceiling of a round's prompts: of the mining sample, and before and after rewriting.

Before is fresh rollouts of the originals, by a run of the arm `none` that mined the same;
never the mining sample, whose low counts are partly luck. Both sides are over the prompts that
both have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np

from alignment.method.records import Ints, PromptScores
from alignment.method.resampling import Estimate, clustered_means
from alignment.method.seeds import seed_of
from alignment.method.set_ceiling import (
    PromptNumbers,
    are_grades,
    clipped_shares,
    common_m,
    pooled_volume,
    prompt_numbers,
    prompt_spreads,
)
from alignment.method.statistics import holm, paired_difference, sign_flip_p
from alignment.models import Prompt, Stage
from alignment.queries.ceiling_arms import Arm, arms_of, frozen_volume
from alignment.queries.ceiling_sides import (
    SEED,
    Side,
    least_valid,
    most_rollouts,
    only,
    scores_of,
    sides_of,
)
from alignment.queries.replay import judges_of, sample_of
from alignment.queries.scores import Key, SampledScores, key_of

OF_MINING = ("joint_pass_at", "joint_attainment", "volume", "reward_variance")


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number of the ceiling, a mean over prompts. of: the dimension of a spread, the judge of a
    clipped share; empty where it is of all dimensions at once."""

    name: str
    of: str
    mean: Estimate


@dataclass(frozen=True, kw_only=True)
class MiningNumbers:
    """The numbers of the mining sample. m: of the volume, Pass@m and best of m; clipped: by judge
    the share of its scores that lie outside their scale."""

    m: int
    numbers: list[Number]
    clipped: list[Number]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A number of the ceiling before and after, all over the prompts that have both."""

    name: str
    before: Estimate
    after: Estimate
    change: Estimate
    corrected_p: float | None


@dataclass(frozen=True, kw_only=True)
class BeforeAfter:
    """m: of the volumes and best-of numbers; pooled: the arms of whose rollouts' volume,
    pooled_volume, the coverage ratio is a share; frozen: when that was fixed, None where it is of
    the arms finished now."""

    before: Side
    after: Side
    prompts: int
    m: int
    changes: list[Change]
    pooled: list[str]
    pooled_volume: float | None
    frozen: datetime | None
    levels: tuple[str, ...]


def mining_side(mine: Stage, bars: int, line: int, kind: str = "") -> tuple[Side, tuple[str, ...]]:
    """The mining sample's curves and grades, and the names of the levels."""
    scores = scores_of(sample_of(mine).sampling.pk, key_of(judges_of(mine)), kind)
    graded = _are_graded(mine, bars, kind)
    (side,), names = sides_of({"mining sample": scores}, bars, line, graded)
    return side, names


def mining_numbers(mine: Stage, kind: str = "") -> MiningNumbers:
    """The ceiling numbers of the mining sample; its volumes are of the same subsets as those that
    the verdicts hold."""
    judges = judges_of(mine)
    sampling = sample_of(mine).sampling.pk
    return _mining_numbers(
        sampling, key_of(judges), tuple(j.name for j in judges), mine.config["seed"], kind
    )


@lru_cache(maxsize=8)
def _mining_numbers(
    sampling: int, key: Key, judges: tuple[str, ...], seed: int, kind: str
) -> MiningNumbers:
    scores = scores_of(sampling, key, kind)
    prompts, at = np.unique(scores.prompt, return_inverse=True)
    order = np.lexsort((scores.index, at))
    raw, at, dims = scores.raw[order], at.reshape(-1)[order], scores.dims
    m = _numbers_m([scores], np.unique(scores.parent))
    keys = dict(Prompt.objects.filter(pk__in=prompts.tolist()).values_list("pk", "key"))
    seeds = [seed_of(seed, "volume", keys[pk]) for pk in prompts.tolist()]
    own = prompt_numbers(dims, raw, at, m=m, seeds=seeds)
    names = [(name, "") for name in OF_MINING] + [("spread", d.name) for d in dims]
    names += [("clipped", judge) for judge in judges]
    columns = np.column_stack(
        [
            *(getattr(own, name) for name in OF_MINING),
            prompt_spreads(dims, raw, at),
            clipped_shares(dims, raw, at),
        ]
    )
    means = clustered_means(columns, np.arange(len(prompts)), seed=SEED)
    found = [Number(name=n, of=of, mean=e) for (n, of), e in zip(names, means, strict=True)]
    K = len(dims)
    return MiningNumbers(m=m, numbers=found[:-K], clipped=found[-K:])


def _numbers_m(every: list[SampledScores], parents: Ints) -> int:
    """The m of the numbers: half of the rollouts of a prompt, at which Pass@m is no indicator, or
    what most prompts have where that is less."""
    half = min(map(most_rollouts, every)) // 2
    return max(1, min(half, common_m(least_valid(every, parents))))


def _are_graded(mine: Stage, bars: int, kind: str) -> bool:
    """Whether every score on the dimension is a grade: the mining sample's and all arms'."""
    key = key_of(judges_of(mine))
    samplings = [sample_of(mine).sampling.pk, *(arm.sampling_id for arm in arms_of(mine))]
    every = (scores_of(pk, key, kind) for pk in samplings)
    return all(are_grades(scores.dims[bars], scores.raw[:, bars]) for scores in every)


def kinds_of(mine: Stage) -> list[str]:
    """The labels that the prompts of the round came with."""
    prompts = Prompt.objects.filter(rollouts__sampling=sample_of(mine).sampling)
    return sorted(set(prompts.exclude(kind="").values_list("kind", flat=True)))


def before_after(
    mine: Stage, arms: Sequence[Arm], after: Arm, before: Arm, bars: int, line: int, kind: str = ""
) -> BeforeAfter | None:
    """An arm's rewrites against fresh originals; None where no prompt is judged on both sides."""
    key = key_of(judges_of(mine))
    one, two = (scores_of(arm.sampling_id, key, kind) for arm in (before, after))
    shared = np.intersect1d(one.parent, two.parent)
    parents: list[int] = shared.tolist()
    one, two = only(one, shared), only(two, shared)
    if not least_valid([one, two], shared).any():
        return None
    m = _numbers_m([one, two], shared)
    frozen = frozen_volume(mine)
    pooled = frozen.volume if frozen else _pooled(arms, key)
    first, second = (_numbers(scores, parents, m, pooled) for scores in (one, two))
    named = {"originals, sampled afresh": one, f"rewrites ({after.strategy})": two}
    sides, names = sides_of(named, bars, line, _are_graded(mine, bars, kind))
    return BeforeAfter(
        before=sides[0],
        after=sides[1],
        prompts=len(parents),
        m=m,
        changes=_changes(first, second, shared),
        pooled=frozen.arms if frozen else sorted(arm.name for arm in arms),
        pooled_volume=pooled,
        frozen=frozen.created_at if frozen else None,
        levels=names,
    )


def pooled_arms(mine: Stage) -> tuple[list[str], float | None]:
    """The finished arms that mined the same, and the volume of all their rollouts, None where none
    is valid on every dimension."""
    arms = arms_of(mine)
    return sorted(arm.name for arm in arms), _pooled(arms, key_of(judges_of(mine)))


def _pooled(arms: Iterable[Arm], key: Key) -> float | None:
    """The volume of all arms' rollouts of all their prompts, of whatever kind."""
    every = [scores_of(arm.sampling_id, key, "") for arm in arms]
    return pooled_volume([PromptScores(dims=s.dims, raw=s.raw).rewards for s in every])


def _numbers(
    scores: SampledScores, parents: list[int], m: int, pooled: float | None
) -> PromptNumbers:
    at = np.searchsorted(np.array(parents), scores.parent)
    seeds = [seed_of(SEED, "volume", key) for key in parents]
    return prompt_numbers(scores.dims, scores.raw, at, m=m, seeds=seeds, pooled=pooled)


def _changes(before: PromptNumbers, after: PromptNumbers, parents: Ints) -> list[Change]:
    pairs = {}
    for name in PromptNumbers.NAMES:
        one, two = getattr(before, name)[None], getattr(after, name)[None]
        undefined = np.isnan(one + two)
        pairs[name] = tuple(np.where(undefined, np.nan, values) for values in (one, two))
    zero = np.zeros((1, len(parents)))
    p = {name: sign_flip_p(two, one, parents, seed=SEED) for name, (one, two) in pairs.items()}
    # The coverage ratio is the volume by a constant: the same test, not a further one to correct.
    same = p.pop("coverage")
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    corrected["coverage"] = None if same is None else corrected["volume"]
    return [
        Change(
            name=name,
            before=paired_difference(one, zero, parents, seed=SEED),
            after=paired_difference(two, zero, parents, seed=SEED),
            change=paired_difference(two, one, parents, seed=SEED),
            corrected_p=corrected[name],
        )
        for name, (one, two) in pairs.items()
    ]
