"""Which rollouts of one prompt become a training pair: max-margin, RS-DPO and max-min.

Works on one prompt's scores under one prompt text; a pair trained under another prompt needs the
scores judged there. How the completions were sampled and judged is not its business.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alignment.method.records import DECIMALS, Bools, Dimension, Floats, Ints, PromptScores


@dataclass(frozen=True, kw_only=True)
class SelectionRule:
    """How pairs are chosen. Dimensions by name; `weights` None is equal weights.

    A pair's margin is its gap of S = sum_k w_k r_k, above 0 by every rule. rule: `max_margin` (the
    largest margins), `rs_dpo` (every pair with a margin of at least tau logit(eta), 2402.10038),
    `max_min` (the largest gaps of the pair's worst dimension). focus must rise strictly and
    `aligned` must not fall; `consistent`: no dimension falls. length_gap_at_most
    is in the unit of the lengths given. `rs_dpo` reads tau and eta and takes all pairs; the others
    read margin_at_least and pairs_per_prompt.
    """

    rule: Literal["max_margin", "rs_dpo", "max_min"] = "max_margin"
    weights: Mapping[str, float] | None = None
    margin_at_least: float = 0.0
    pairs_per_prompt: int = 1
    consistent: bool = True
    focus: str | None = None
    aligned: tuple[str, ...] = ()
    chosen_passes: bool = False
    length_gap_at_most: int | None = None
    tau: float = 0.1
    eta: float = 0.85


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A chosen and a rejected rollout by their indices in the prompt's rollouts.

    margin: the gap of S; gaps: r_k(chosen) - r_k(rejected) per dimension.
    """

    chosen: int
    rejected: int
    margin: float
    gaps: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Selected:
    """Pairs in the order taken, and the yield: what each filter left, in the order applied.

    The yield counts rollouts up to `distinct`, then unordered pairs; a filter that is off is
    absent, so yields of one rule add up over prompts key by key.
    """

    pairs: tuple[Pair, ...]
    left: dict[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidates:
    """Distinct finished rollouts with scores on every dimension; texts' scores averaged."""

    index: Ints
    scores: PromptScores
    lengths: Floats


def select_pairs(
    scores: PromptScores,
    rule: SelectionRule,
    *,
    texts: Sequence[str],
    cut: Sequence[bool],
    lengths: Sequence[int],
) -> Selected:
    """Pairs of one prompt from its n rollouts.

    texts: completions; cut: stopped by length; lengths: of the completions, in tokens; each (n,).
    Raises ValueError for a rule that does not fit the dimensions.
    """
    weights = weight_vector(scores.dims, rule.weights)
    _check(rule, scores.dims)
    found, left = _candidates(scores, texts, cut, lengths)
    rewards = np.round(found.scores.rewards, DECIMALS)
    gaps = np.round(rewards[:, None, :] - rewards[None, :, :], DECIMALS)
    score = rewards @ weights
    margin = np.round(score[:, None] - score[None, :], DECIMALS)
    keep = np.ones(margin.shape, dtype=np.bool_)
    left["pairs"] = len(rewards) * (len(rewards) - 1) // 2
    for name, mask in _filters(rule, found, gaps, margin):
        keep &= mask
        left[name] = int(keep.sum())
    order = _ordered(keep, gaps.min(axis=2) if rule.rule == "max_min" else margin)
    taken = order if rule.rule == "rs_dpo" else _greedy(order, rule.pairs_per_prompt)
    left["taken"] = len(taken)
    pairs = tuple(
        Pair(
            chosen=int(found.index[i]),
            rejected=int(found.index[j]),
            margin=float(margin[i, j]),
            gaps=tuple(float(g) for g in gaps[i, j]),
        )
        for i, j in taken
    )
    return Selected(pairs=pairs, left=left)


def implied_gap(tau: float, eta: float) -> float:
    """The gap of S that RS-DPO's sigmoid(gap / tau) >= eta asks for: tau logit(eta)."""
    if not (tau > 0 and 0.5 < eta < 1):
        raise ValueError(f"RS-DPO needs tau above 0 and eta between 0.5 and 1: {tau:g}, {eta:g}.")
    return tau * math.log(eta / (1 - eta))


def weight_vector(dims: Sequence[Dimension], weights: Mapping[str, float] | None) -> Floats:
    """Weights (K,) in the order of the dimensions; None is equal weights.

    Raises ValueError unless they name every dimension, are at least 0 and sum to 1.
    """
    if weights is None:
        return np.full(len(dims), 1 / len(dims))
    if set(weights) != {d.name for d in dims}:
        raise ValueError(f"Weights must name every dimension once, not {sorted(weights)}.")
    vector = np.array([weights[d.name] for d in dims], dtype=np.float64)
    if not (vector >= 0).all() or abs(vector.sum() - 1) > 1e-6:
        raise ValueError(f"Weights must be at least 0 and sum to 1: {dict(weights)}.")
    return vector


def _check(rule: SelectionRule, dims: Sequence[Dimension]) -> None:
    names = {d.name for d in dims}
    unknown = {*rule.aligned, *([rule.focus] if rule.focus else [])} - names
    if unknown:
        raise ValueError(f"Focus and aligned must be dimensions, not {sorted(unknown)}.")
    if rule.pairs_per_prompt < 1 or rule.margin_at_least < 0:
        raise ValueError("pairs_per_prompt must be at least 1 and margin_at_least at least 0.")


def _candidates(
    scores: PromptScores, texts: Sequence[str], cut: Sequence[bool], lengths: Sequence[int]
) -> tuple[_Candidates, dict[str, int]]:
    n = len(scores.raw)
    if not len(texts) == len(cut) == len(lengths) == n:
        raise ValueError(
            f"{n} rollouts need as many texts, cuts and lengths: "
            f"{len(texts)}, {len(cut)}, {len(lengths)}."
        )
    finished = scores.jointly_valid & ~np.asarray(cut, dtype=np.bool_)
    copies: dict[str, list[int]] = {}
    for i in np.flatnonzero(finished).tolist():
        copies.setdefault(texts[i], []).append(i)
    raw = np.array([_average(scores.raw[rows]) for rows in copies.values()])
    index = np.array([rows[0] for rows in copies.values()], dtype=np.int64)
    found = _Candidates(
        index=index,
        scores=PromptScores(dims=scores.dims, raw=raw.reshape(-1, len(scores.dims))),
        lengths=np.asarray(lengths, dtype=np.float64)[index],
    )
    left = {
        "rollouts": n,
        "valid": int(scores.jointly_valid.sum()),
        "finished": int(finished.sum()),
        "distinct": len(index),
    }
    return found, left


def _average(raw: Floats) -> Floats:
    """Mean raw scores (K,) of one text's copies (c, K), exact where they agree."""
    constant = raw.min(axis=0) == raw.max(axis=0)
    return np.asarray(np.where(constant, raw[0], np.round(raw.mean(axis=0), DECIMALS)))


def _filters(
    rule: SelectionRule, found: _Candidates, gaps: Floats, margin: Floats
) -> list[tuple[str, Bools]]:
    """The filters that are on, in order, each as the (n, n) mask of chosen over rejected."""
    names = [d.name for d in found.scores.dims]
    least = implied_gap(rule.tau, rule.eta) if rule.rule == "rs_dpo" else rule.margin_at_least
    passed = np.asarray(found.scores.passed.all(axis=1))
    masks = [("higher", margin > 0), ("margin", margin >= round(least, DECIMALS))]
    if rule.focus is not None:
        masks.append(("focus", gaps[:, :, names.index(rule.focus)] > 0))
    if rule.aligned:
        columns = [names.index(name) for name in rule.aligned]
        masks.append(("aligned", np.all(gaps[:, :, columns] >= 0, axis=2)))
    if rule.consistent:
        masks.append(("consistent", np.all(gaps >= 0, axis=2)))
    if rule.chosen_passes:
        masks.append(("chosen_passes", passed[:, None]))
    if rule.length_gap_at_most is not None:
        apart = np.abs(found.lengths[:, None] - found.lengths[None, :])
        masks.append(("length", apart <= rule.length_gap_at_most))
    return [(name, np.asarray(mask)) for name, mask in masks]


def _ordered(keep: Bools, gap: Floats) -> list[tuple[int, int]]:
    """Kept pairs by (largest gap, index of chosen, index of rejected)."""
    chosen, rejected = np.nonzero(keep)
    order = np.lexsort((rejected, chosen, -gap[chosen, rejected]))
    return [(int(chosen[o]), int(rejected[o])) for o in order]


def _greedy(order: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    used: set[int] = set()
    taken: list[tuple[int, int]] = []
    for i, j in order:
        if len(taken) == most:
            break
        if i not in used and j not in used:
            taken.append((i, j))
            used |= {i, j}
    return taken


def share_size(pairs: int, share: float) -> int:
    """How many pairs a share of them is: at least one where there is any."""
    return min(pairs, max(1, round(share * pairs)))
