"""The cells of arms that are compared: a policy's mean over its rollouts of one prompt, by seed, on
the prompts that all arms answered.

Seeds are paired between arms by their order, prompts by their keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignment.method.errors import MoraError
from alignment.method.records import Dimension, Floats, Ints, PromptScores
from alignment.models import Evaluation
from alignment.queries.scores import SampledScores, evaluation_scores, judged_by


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """An arm's cells, NaN without a value: rewards (S, P, K); rates (S, P, 2K + 2) of passing each
    dimension, of refusing where each was judged, of passing all and refusing, of outcomes (2K + 2,)
    rollouts in all; tokens (S, P); and what they are of, by seed. asked, left_out (K,): scores
    asked of the judges, and those that they could not give. apart: dimensions were judged on
    rollouts of other prompts."""

    rewards: Floats
    rates: Floats
    outcomes: Ints
    tokens: Floats
    asked: Ints
    left_out: Ints
    apart: bool
    scores: list[SampledScores]
    evaluations: list[Evaluation]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """Arms by name with their cells on the prompts that all answered; parents (P,): their keys."""

    arms: dict[str, Cells]
    dims: tuple[Dimension, ...]
    parents: Ints

    @property
    def names(self) -> list[str]:
        return [d.name for d in self.dims]

    @property
    def answered_by(self) -> dict[str, int]:
        """By arm how many prompts it answered with every seed, whether or not the others did."""
        return {
            name: len(set.intersection(*(set(scores.parent.tolist()) for scores in cells.scores)))
            for name, cells in self.arms.items()
        }


def answered(arms: Mapping[str, Sequence[Evaluation]]) -> Answered:
    """The cells of arms, each a list of evaluations by seed. Raises MoraError where they do not
    fit: other judges or other versions of one, other numbers of seeds, or no prompt in common."""
    if len(set(judged_by([e for own in arms.values() for e in own]).values())) > 1:
        raise MoraError(
            "these policies were judged by other judges, or by other versions of a judge; compare"
            " alike ones"
        )
    found = {name: [evaluation_scores(e) for e in own] for name, own in arms.items()}
    dims, parents = _common(found)
    cells = {name: _cells(own, parents, arms[name]) for name, own in found.items()}
    return Answered(arms=cells, dims=dims, parents=parents)


def mean_rewards(evaluations: Sequence[Evaluation], parents: Ints) -> list[float | None]:
    """Mean reward of each dimension over seeds and some prompts; None without a value."""
    cells = _cells([evaluation_scores(e) for e in evaluations], parents, evaluations)
    return means_of(cells.rewards.reshape(-1, cells.rewards.shape[2]))


def means_of(cells: Floats) -> list[float | None]:
    """The mean of each column of cells (C, K); None for one without a value."""
    counts = np.isfinite(cells).sum(axis=0)
    sums = np.nansum(cells, axis=0)
    return [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]


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


def _cells(own: Sequence[SampledScores], parents: Ints, evaluations: Sequence[Evaluation]) -> Cells:
    rows = [_rows(scores, parents) for scores in own]
    judged = [PromptScores(dims=s.dims, raw=s.raw) for s in own]
    rates = [_outcomes(j, s) for j, s in zip(judged, own, strict=True)]

    def means(columns: Sequence[Floats]) -> Floats:
        return np.stack([_means(c, r, len(parents)) for c, r in zip(columns, rows, strict=True)])

    known = [np.isfinite(c[r >= 0]).sum(axis=0) for c, r in zip(rates, rows, strict=True)]
    kept = [s.rows(r >= 0) for s, r in zip(own, rows, strict=True)]
    return Cells(
        rewards=means([j.rewards for j in judged]),
        rates=means(rates),
        outcomes=np.sum(known, axis=0),
        tokens=means([s.tokens[:, None] for s in own])[:, :, 0],
        asked=np.sum([s.asked.sum(axis=0) for s in kept], axis=0),
        left_out=np.sum([s.invalid for s in kept], axis=0),
        apart=any(s.apart for s in kept),
        scores=list(own),
        evaluations=list(evaluations),
    )


def _outcomes(judged: PromptScores, scores: SampledScores) -> Floats:
    """Columns (R, 2K + 2): whether each dimension passes, whether the completion refuses where each
    was judged, whether all pass, and whether it refuses."""
    passed = np.where(judged.valid, judged.passed, np.nan)
    joint = np.where(judged.jointly_valid, judged.passed.all(axis=1), np.nan)
    refused = np.where(scores.asked, scores.refused[:, None], np.nan)
    return np.column_stack([passed, refused, joint, scores.refused])


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
