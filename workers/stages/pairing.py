"""Pair: selection among the rollouts of each rewrite, with the yield of every filter.

A pair trained under the original prompt needs scores given under it: the completions are judged
again there, kept as rollouts of the original with those scores, and every filter reads them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from alignment.method.language import words
from alignment.method.records import Dimension, Floats, PromptScores
from alignment.method.selection import Selected, SelectionRule, implied_gap, select_pairs
from alignment.models import Judge, Pair, Prompt, Rollout, Sampling, Stage
from alignment.queries.stages import FILTERS
from workers import judging, store
from workers.stages.job import (
    ChunkPlan,
    Job,
    Outcome,
    Write,
    add_counts,
    before,
    cut,
    policy_before,
)

CHUNK_PROMPTS = 500
CHUNK_JUDGED = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class _Group:
    """Rollouts under one prompt with raw scores (n, K); `replies` where they were judged anew, and
    the tokens that it took at an endpoint."""

    prompt_id: int
    rollouts: Sequence[Rollout]
    raw: Floats
    replies: Sequence[list[dict[str, Any]]] = ()
    usage: Counter[str] = field(default_factory=Counter)


def plan(stage: Stage) -> list[ChunkPlan]:
    sampled = before(stage, "resample").source
    items = [item for chunk in sampled.chunks.all() for item in chunk.items]
    keys = dict(Prompt.objects.filter(pk__in=items).values_list("pk", "key"))
    judged = stage.config["pair"]["prompt"] != "rewrite"
    if judged:
        _open_sampling(stage, sampled)
    size = CHUNK_JUDGED if judged else CHUNK_PROMPTS
    chunks = cut(sorted(items, key=lambda item: keys[item]), size)
    return [ChunkPlan(index=i, items=c, size=len(c)) for i, c in enumerate(chunks)]


def _open_sampling(stage: Stage, sampled: Stage) -> None:
    """Where the completions as answers to the originals go."""
    policy = policy_before(stage)
    Sampling.objects.create(
        project=stage.run.project,
        stage=stage,
        policy=policy,
        policy_sha256=policy.sha256,
        params={"answers_of": sampled.pk, "judged_under": "original"},
        engine=sampled.sampling.engine,
        engine_version=sampled.sampling.engine_version,
    )


def work(job: Job) -> Write:
    stage = job.stage
    project = stage.run.project
    dims = store.dimensions(project, stage.config["dimensions"])
    names = before(stage, "rescore").config["judges"]
    judges = store.judges(project, [names[d.name] for d in dims])
    rule = rule_of(stage)
    groups = _groups(job, judges)
    selected = [_selected(group, dims, rule) for group in groups]

    def write() -> None:
        for group, found in zip(groups, selected, strict=True):
            if group.replies:
                _write_judged(group, judges)
            Pair.objects.bulk_create(_pairs(stage, group, found, dims))
        add_counts(stage, "usage", sum((group.usage for group in groups), Counter()))
        left: Counter[str] = Counter()
        for found in selected:
            left.update(found.left)
        known = Stage.objects.select_for_update().get(pk=stage.pk)
        known.facts["yield"] = _added(known.facts.get("yield", {}), left)
        known.save(update_fields=("facts",))

    return write


def _groups(job: Job, judges: list[Judge]) -> list[_Group]:
    """The chunk's rollouts under the prompts that pairs are to be trained on."""
    under = job.stage.config["pair"]["prompt"]
    scored = store.scored(before(job.stage, "resample"), job.claim.items, judges)
    groups = []
    for prompt in job.prompts():
        own = scored[prompt.pk]
        if under != "original":
            groups.append(_Group(prompt_id=prompt.pk, rollouts=own.rollouts, raw=own.raw))
        if under != "rewrite" and own.rollouts:
            groups.append(_judged_again(job, prompt, own.rollouts, judges))
    return groups


def _judged_again(
    job: Job, rewrite: Prompt, rollouts: Sequence[Rollout], judges: list[Judge]
) -> _Group:
    """The completions as answers to the original, which the rewrite's parent is."""
    original = rewrite.parent
    assert original is not None, f"prompt {rewrite.pk} is no rewrite"
    sampling = job.stage.sampling
    completions = [r.text for r in rollouts]
    prompts = [original.text] * len(completions)
    judged = [judging.judge(job.call, j, prompts, completions) for j in judges]
    replies = [one.judgements for one in judged]
    usage = sum((one.usage for one in judged), Counter())
    values = [[np.nan if r["raw"] is None else r["raw"] for r in column] for column in replies]
    copies = [
        Rollout(
            sampling=sampling,
            prompt=original,
            index=r.index,
            text=r.text,
            tokens=r.tokens,
            finish_reason=r.finish_reason,
            seed=r.seed,
        )
        for r in rollouts
    ]
    raw = np.array(values, dtype=np.float64).T
    return _Group(prompt_id=original.pk, rollouts=copies, raw=raw, replies=replies, usage=usage)


def _selected(group: _Group, dims: tuple[Dimension, ...], rule: SelectionRule) -> Selected:
    return select_pairs(
        PromptScores(dims=dims, raw=group.raw),
        rule,
        texts=[r.text for r in group.rollouts],
        cut=[r.finish_reason == "length" for r in group.rollouts],
        lengths=_lengths(group.rollouts),
    )


def _lengths(rollouts: Sequence[Rollout]) -> list[int]:
    """In tokens; in words where an endpoint has not counted them all."""
    tokens = [r.tokens for r in rollouts if r.tokens is not None]
    return tokens if len(tokens) == len(rollouts) else [len(words(r.text)) for r in rollouts]


def _write_judged(group: _Group, judges: list[Judge]) -> None:
    store.insert(group.rollouts)
    for judge, replies in zip(judges, group.replies, strict=True):
        store.write_scores(judge, [r.pk for r in group.rollouts], replies)


def _pairs(stage: Stage, group: _Group, found: Selected, dims: tuple[Dimension, ...]) -> list[Pair]:
    return [
        Pair(
            stage=stage,
            prompt_id=group.prompt_id,
            chosen=group.rollouts[p.chosen],
            rejected=group.rollouts[p.rejected],
            margin=p.margin,
            gaps={d.name: g for d, g in zip(dims, p.gaps, strict=True)},
        )
        for p in found.pairs
    ]


def rule_of(stage: Stage) -> SelectionRule:
    """The selection rule of the stage's settings."""
    asked = stage.config
    pair = {k: v for k, v in asked["pair"].items() if k not in ("prompt", "keep_aligned")}
    kept = asked["aligned"] if asked["pair"]["keep_aligned"] else ()
    return SelectionRule(
        **pair, weights=asked["weights"], focus=asked["focus"], aligned=tuple(kept)
    )


def _added(known: dict[str, int], left: Counter[str]) -> dict[str, int]:
    """Yields of two chunks added up, filters in the order applied."""
    return {name: known.get(name, 0) + n for name, n in left.items()}


# What to change where a filter of pairing left nothing.
REMEDIES = {
    "valid": "look at what the judges replied",
    "finished": "raise sample.max_new_tokens",
    "distinct": "raise the temperature",
    "pairs": "raise the temperature, or sample more rollouts of each rewrite",
    "margin": "lower pair.margin_at_least",
    "chosen_passes": "lower the bars, or turn pair.chosen_passes off",
    "length": "allow a larger pair.length_gap_at_most",
}
OF_RS_DPO = {**REMEDIES, "margin": "lower pair.tau or pair.eta"}
SAMPLE_MORE = "sample more rollouts of each rewrite"


def _no_pair(rewrites: int, left: Mapping[str, int], rule: str) -> str:
    """Why there is no pair, and what to change: the first filter that left nothing; where too few
    rollouts were left to make a pair of, the filter that took most of them."""
    told = f"no pair among the rollouts of {rewrites} rewrites"
    steps = list(pairwise(name for name in FILTERS if name in left))
    gone = next((step for step in steps if left[step[0]] and not left[step[1]]), None)
    if gone is None:
        return told
    if gone[1] == "pairs":
        taken = {(a, b): left[a] - left[b] for a, b in steps[: steps.index(gone)]}
        gone = max(taken, key=taken.__getitem__) if any(taken.values()) else gone
    last, name = gone
    rest = f"{left[name]:,}" if left[name] else "none"
    why = f"{left[last]:,} were left by “{FILTERS[last]}”, {rest} by “{FILTERS[name]}”"
    remedies = OF_RS_DPO if rule == "rs_dpo" else REMEDIES
    return f"{told}: {why}; {remedies.get(name, SAMPLE_MORE)}"


def finish(stage: Stage) -> Outcome:
    pairs = stage.pairs.count()
    asked = stage.config["pair"]
    empty = "" if pairs else _no_pair(stage.total, stage.facts.get("yield", {}), asked["rule"])
    facts: dict[str, Any] = {"pairs": pairs}
    if asked["rule"] == "rs_dpo":
        facts["implied_gap"] = implied_gap(asked["tau"], asked["eta"])
    return Outcome(empty=empty, facts=facts)
