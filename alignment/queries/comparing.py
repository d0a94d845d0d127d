"""Arms compared: policies of the same judges on the same prompts, one policy a seed.

Everything is computed from stored scores. A cell is a policy's mean over its rollouts of one
prompt; seeds are paired between arms by their order, prompts by their keys. The bootstrap's seed is
fixed, so the same scores always give the same figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignment.method.comparison import (
    hypervolume_difference,
    hypervolume_estimate,
    length_adjusted_difference,
)
from alignment.method.errors import MoraError
from alignment.method.records import Dimension, Floats, Ints, PromptScores
from alignment.method.resampling import Estimate
from alignment.method.statistics import WinRate, holm, paired_difference, sign_flip_p, win_rate
from alignment.models import Evaluation
from alignment.queries.preferences import preferred
from alignment.queries.scores import SampledScores, evaluation_scores, judged_by

SEED = 0


@dataclass(frozen=True, kw_only=True)
class ArmFigures:
    """An arm over its seeds. rewards, pass_rates, wins, preferred: by dimension; the latter two
    against the reference, by the judges' scores and by judges that compared both orders, empty for
    the reference itself; tokens: mean length of a completion; by_seed: mean rewards and hypervolume
    of each seed."""

    name: str
    seeds: int
    rewards: dict[str, Estimate]
    pass_rates: dict[str, Estimate]
    joint_pass_rate: Estimate
    hypervolume: Estimate
    tokens: Estimate
    refusal_rate: Estimate
    wins: dict[str, WinRate]
    preferred: dict[str, WinRate]
    by_seed: list[dict[str, float | None]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An arm less the base on one figure: a dimension's mean reward, or the hypervolume.

    p: of the sign-flip test, corrected: Holm's over every arm and dimension here; both None for the
    hypervolume, which is no mean over prompts. at_equal_length: the difference that length does not
    explain.
    """

    arm: str
    figure: str
    plain: Estimate
    p: float | None
    corrected: float | None
    at_equal_length: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arms over the prompts that all of them answered. base: the arm that differences are to;
    reference: the arm that wins are against."""

    dimensions: list[str]
    base: str
    reference: str | None
    prompts: int
    arms: list[ArmFigures]
    differences: list[Difference]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cells:
    """An arm's cells: rewards and passes (S, P, K); joint, tokens, refused (S, P); and what they
    are of, by seed."""

    rewards: Floats
    passed: Floats
    joint: Floats
    tokens: Floats
    refused: Floats
    scores: list[SampledScores]
    evaluations: list[Evaluation]


def compare(
    arms: Mapping[str, Sequence[Evaluation]], *, base: str, reference: str | None = None
) -> Comparison:
    """Compare arms, each a list of evaluations by seed. Raises MoraError where they do not fit:
    other judges or other versions of one, other numbers of seeds, or no prompt in common."""
    if len(set(judged_by([e for own in arms.values() for e in own]).values())) > 1:
        raise MoraError(
            "these policies were judged by other judges, or by other versions of a judge; compare"
            " alike ones"
        )
    found = {name: [evaluation_scores(e) for e in own] for name, own in arms.items()}
    dims, parents = _common(found)
    cells = {name: _cells(own, parents, arms[name]) for name, own in found.items()}
    names = [d.name for d in dims]
    against = cells.get(reference) if reference else None
    return Comparison(
        dimensions=names,
        base=base,
        reference=reference,
        prompts=len(parents),
        arms=[
            _figures(name, names, own, parents, against if name != reference else None)
            for name, own in cells.items()
        ],
        differences=_differences(cells, base, names, parents),
    )


def _common(found: Mapping[str, Sequence[SampledScores]]) -> tuple[tuple[Dimension, ...], Ints]:
    """The dimensions of all, and the keys of the prompts in all."""
    every = [scores for own in found.values() for scores in own]
    if len({tuple(map(repr, scores.dims)) for scores in every}) != 1:
        raise MoraError("these policies were judged on different dimensions; compare alike ones")
    if len({len(own) for own in found.values()}) != 1:
        told = ", ".join(f"{name} {len(own)}" for name, own in found.items())
        raise MoraError(f"arms need equal numbers of seeds to be paired: {told}")
    shared = set.intersection(*(set(scores.parent.tolist()) for scores in every))
    if not shared:
        raise MoraError("these policies answered no prompt in common")
    return every[0].dims, np.array(sorted(shared), dtype=np.int64)


def _cells(
    own: Sequence[SampledScores], parents: Ints, evaluations: Sequence[Evaluation]
) -> _Cells:
    rows = [_rows(scores, parents) for scores in own]
    judged = [PromptScores(dims=s.dims, raw=s.raw) for s in own]

    def means(columns: Sequence[Floats]) -> Floats:
        return np.stack([_means(c, r, len(parents)) for c, r in zip(columns, rows, strict=True)])

    return _Cells(
        rewards=means([j.rewards for j in judged]),
        passed=means([np.where(j.valid, j.passed, np.nan) for j in judged]),
        joint=means([_joint(j)[:, None] for j in judged])[:, :, 0],
        tokens=means([s.tokens[:, None] for s in own])[:, :, 0],
        refused=means([s.refused[:, None] for s in own])[:, :, 0],
        scores=list(own),
        evaluations=list(evaluations),
    )


def _joint(judged: PromptScores) -> Floats:
    return np.where(judged.jointly_valid, judged.passed.all(axis=1), np.nan)


def _rows(scores: SampledScores, parents: Ints) -> Ints:
    """The place of each rollout's parent among the common ones, -1 for the others."""
    at = np.searchsorted(parents, scores.parent).clip(max=len(parents) - 1)
    return np.where(parents[at] == scores.parent, at, -1)


def _means(values: Floats, at: Ints, size: int) -> Floats:
    """Means (P, C) of the valid values (R, C) of each prompt; NaN without any."""
    kept = at >= 0
    valid = np.isfinite(values[kept])
    rows = at[kept]
    sums = [np.bincount(rows, weights=np.where(v, c, 0.0), minlength=size)
            for v, c in zip(valid.T, values[kept].T, strict=True)]  # fmt: skip
    counts = [np.bincount(rows, weights=v.astype(float), minlength=size) for v in valid.T]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack(sums, axis=1) / np.stack(counts, axis=1)


def _figures(
    name: str, names: Sequence[str], own: _Cells, parents: Ints, against: _Cells | None
) -> ArmFigures:
    def mean(cells: Floats) -> Estimate:
        return paired_difference(cells, np.zeros_like(cells), parents, seed=SEED)

    return ArmFigures(
        name=name,
        seeds=len(own.rewards),
        rewards={d: mean(own.rewards[:, :, k]) for k, d in enumerate(names)},
        pass_rates={d: mean(own.passed[:, :, k]) for k, d in enumerate(names)},
        joint_pass_rate=mean(own.joint),
        hypervolume=hypervolume_estimate(own.rewards, parents, seed=SEED),
        tokens=mean(own.tokens),
        refusal_rate=mean(own.refused),
        wins=_wins(own, against, names, parents) if against else {},
        preferred=preferred(own.evaluations, against.evaluations, SEED) if against else {},
        by_seed=[_of_seed(cells, names) for cells in own.rewards],
    )


def _of_seed(cells: Floats, names: Sequence[str]) -> dict[str, float | None]:
    """Mean reward of each dimension and their product, the hypervolume against 0."""
    counts = np.isfinite(cells).sum(axis=0)
    means = [
        float(np.nansum(cells[:, k]) / counts[k]) if counts[k] else None for k in range(len(names))
    ]
    known = [m for m in means if m is not None]
    volume = float(np.prod(known)) if len(known) == len(means) else None
    return {**dict(zip(names, means, strict=True)), "hypervolume": volume}


def _wins(own: _Cells, against: _Cells, names: Sequence[str], parents: Ints) -> dict[str, WinRate]:
    """Win rates by the evaluation judges' scores: rollout i of a prompt against rollout i of the
    reference. Such a judge sees one completion at a time, so both orders agree by construction."""
    first, second, clusters = [], [], []
    for mine, theirs in zip(own.scores, against.scores, strict=True):
        place = {key: i for i, key in enumerate(zip(theirs.parent.tolist(), theirs.index.tolist(),
                                                    strict=True))}  # fmt: skip
        keys = list(zip(mine.parent.tolist(), mine.index.tolist(), strict=True))
        shared = set(parents.tolist())
        rows = [(i, place[k]) for i, k in enumerate(keys) if k in place and k[0] in shared]
        if not rows:
            continue
        at, other = np.array(rows).T
        first.append(mine.raw[at])
        second.append(theirs.raw[other])
        clusters.append(mine.parent[at])
    if not first:
        return {}
    a, b, parent = np.concatenate(first), np.concatenate(second), np.concatenate(clusters)
    dims = own.scores[0].dims
    found = {}
    for k, name in enumerate(names):
        gap = dims[k].normalise(a[:, k]) - dims[k].normalise(b[:, k])
        outcome = np.where(np.isfinite(gap), 0.5 + 0.5 * np.sign(gap), np.nan)
        # Prompts of other dimensions' sets were not judged here, which makes them no failure.
        judged = np.isin(parent, parent[np.isfinite(a[:, k]) | np.isfinite(b[:, k])])
        found[name] = win_rate(outcome[judged], outcome[judged], parent[judged], seed=SEED)
    return found


def _differences(
    cells: Mapping[str, _Cells], base: str, names: Sequence[str], parents: Ints
) -> list[Difference]:
    others = [name for name in cells if name != base]
    tests = [
        sign_flip_p(cells[a].rewards[:, :, k], cells[base].rewards[:, :, k], parents, seed=SEED)
        for a in others
        for k in range(len(names))
    ]
    corrected = iter(zip(tests, holm(tests), strict=True))
    found = []
    for arm in others:
        one, two = cells[arm], cells[base]
        for k, name in enumerate(names):
            p, adjusted = next(corrected)
            pair = one.rewards[:, :, k], two.rewards[:, :, k]
            found.append(
                Difference(
                    arm=arm,
                    figure=name,
                    plain=paired_difference(*pair, parents, seed=SEED),
                    p=p,
                    corrected=adjusted,
                    at_equal_length=length_adjusted_difference(
                        *pair, one.tokens, two.tokens, parents, seed=SEED
                    ),
                )
            )
        volume = hypervolume_difference(one.rewards, two.rewards, parents, seed=SEED)
        found.append(
            Difference(
                arm=arm,
                figure="hypervolume",
                plain=volume,
                p=None,
                corrected=None,
                at_equal_length=None,
            )
        )
    return found
