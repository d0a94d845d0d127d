"""Arms compared: policies of the same judges on the same prompts, one policy a seed.

Everything is computed from stored scores; their cells are in `queries.cells`. The bootstrap's seed
is fixed, so the same scores always give the same figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignment.method.comparison import (
    hypervolume_difference,
    hypervolume_estimate,
    length_adjusted_difference,
)
from alignment.method.records import Floats, Ints
from alignment.method.resampling import UNDEFINED, Estimate
from alignment.method.statistics import (
    WinRate,
    holm,
    paired_difference,
    rate_of,
    sign_flip_p,
    win_rate,
)
from alignment.models import Evaluation
from alignment.queries.cells import Answered, Cells, answered, means_of
from alignment.queries.preferences import preferred

SEED = 0


@dataclass(frozen=True, kw_only=True)
class ArmFigures:
    """An arm over its seeds. rewards, pass_rates, wins, preferred: by dimension; the latter two
    against the reference, by the judges' scores and by judges that compared both orders, empty for
    the reference itself; left_out: by dimension, how many of the scores asked for the judge could
    not give, and of how many; refusal_rate: undefined where dimensions are judged on rollouts of
    other prompts, and then refusal_rates have it of each, else empty; tokens: mean length of a
    completion; by_seed: mean rewards and hypervolume of each seed."""

    name: str
    seeds: int
    rewards: dict[str, Estimate]
    pass_rates: dict[str, Estimate]
    joint_pass_rate: Estimate
    hypervolume: Estimate
    tokens: Estimate
    refusal_rate: Estimate
    refusal_rates: dict[str, Estimate]
    left_out: dict[str, tuple[int, int]]
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
    reference: the arm that wins are against; tests: how many p there are, which Holm corrects."""

    dimensions: list[str]
    base: str
    reference: str | None
    prompts: int
    tests: int
    arms: list[ArmFigures]
    differences: list[Difference]


def compare(
    arms: Mapping[str, Sequence[Evaluation]], *, base: str, reference: str | None = None
) -> Comparison:
    """Compare arms, each a list of evaluations by seed. Raises MoraError where they do not fit."""
    return compare_cells(answered(arms), base=base, reference=reference)


def compare_cells(found: Answered, *, base: str, reference: str | None = None) -> Comparison:
    names, parents = found.names, found.parents
    against = found.arms.get(reference) if reference else None
    differences = _differences(found.arms, base, names, parents)
    return Comparison(
        dimensions=names,
        base=base,
        reference=reference,
        prompts=len(parents),
        tests=sum(d.p is not None for d in differences),
        arms=[
            _figures(name, names, own, parents, against if name != reference else None)
            for name, own in found.arms.items()
        ],
        differences=differences,
    )


def _figures(
    name: str, names: Sequence[str], own: Cells, parents: Ints, against: Cells | None
) -> ArmFigures:
    def mean(cells: Floats) -> Estimate:
        return paired_difference(cells, np.zeros_like(cells), parents, seed=SEED)

    def rate(column: int) -> Estimate:
        return rate_of(mean(own.rates[:, :, column]), int(own.outcomes[column]))

    return ArmFigures(
        name=name,
        seeds=len(own.rewards),
        rewards={d: mean(own.rewards[:, :, k]) for k, d in enumerate(names)},
        pass_rates={d: rate(k) for k, d in enumerate(names)},
        joint_pass_rate=rate(-2),
        hypervolume=hypervolume_estimate(own.rewards, parents, seed=SEED),
        tokens=mean(own.tokens),
        refusal_rate=UNDEFINED if own.apart else rate(-1),
        refusal_rates={d: rate(len(names) + k) for k, d in enumerate(names)} if own.apart else {},
        left_out={
            d: (int(own.left_out[k]), int(own.asked[k]))
            for k, d in enumerate(names)
            if own.left_out[k]
        },
        wins=_wins(own, against, names, parents) if against else {},
        preferred=preferred(own.evaluations, against.evaluations, SEED) if against else {},
        by_seed=[_of_seed(cells, names) for cells in own.rewards],
    )


def _of_seed(cells: Floats, names: Sequence[str]) -> dict[str, float | None]:
    """Mean reward of each dimension and their product, the hypervolume against 0."""
    means = means_of(cells)
    known = [m for m in means if m is not None]
    volume = float(np.prod(known)) if len(known) == len(means) else None
    return {**dict(zip(names, means, strict=True)), "hypervolume": volume}


def _wins(own: Cells, against: Cells, names: Sequence[str], parents: Ints) -> dict[str, WinRate]:
    """Win rates by the evaluation judges' scores: rollout i of a prompt against rollout i of the
    reference. Such a judge sees one completion at a time, so both orders agree by construction."""
    first, second, clusters, seeds = [], [], [], []
    for s, (mine, theirs) in enumerate(zip(own.scores, against.scores, strict=True)):
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
        seeds.append(np.full(len(at), s))
    if not first:
        return {}
    a, b = np.concatenate(first), np.concatenate(second)
    parent, of_seed = np.concatenate(clusters), np.concatenate(seeds)
    dims = own.scores[0].dims
    found = {}
    for k, name in enumerate(names):
        gap = dims[k].normalise(a[:, k]) - dims[k].normalise(b[:, k])
        outcome = np.where(np.isfinite(gap), 0.5 + 0.5 * np.sign(gap), np.nan)
        # Prompts of other dimensions' sets were not judged here, which makes them no failure.
        judged = np.isin(parent, parent[np.isfinite(a[:, k]) | np.isfinite(b[:, k])])
        kept = outcome[judged]
        found[name] = win_rate(kept, kept, parent[judged], of_seed[judged], seed=SEED)
    return found


def _differences(
    cells: Mapping[str, Cells], base: str, names: Sequence[str], parents: Ints
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
