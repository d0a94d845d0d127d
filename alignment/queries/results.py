"""Figures of evaluations, computed from their stored scores: the policy table, and the summary that
`make demo` prints. Points and fronts are in `queries.points`.

Nothing here is stored. The bootstrap's seed is fixed, so the same scores always give the same
figures. Means, intervals and volumes are defined in `alignment.method`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Q, QuerySet

from alignment.method import pareto as fronts
from alignment.method.records import PromptScores
from alignment.method.resampling import UNDEFINED, Estimate, clustered_means, parent_means
from alignment.method.statistics import policy_summary, rate_of
from alignment.models import Evaluation, Project, Run, Status
from alignment.queries.asked import Asked, prompts_asked
from alignment.queries.scores import (
    Judged,
    SampledScores,
    evaluation_scores,
    judged_by,
    pooled_scores,
    repeats,
)

SEED = 0
SETTINGS = ("temperature", "top_p", "max_new_tokens")
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A policy on one dimension: mean reward and pass rate, means over prompts of each prompt's
    valid scores, `n` in all, with their 95 % intervals; None where undefined. invalid: scores the
    judge could not give. refusal_rate: of the completions that the judge was asked of, which of a
    dimension with a prompt set of its own are those on that set; None where nobody looked."""

    mean: float | None
    mean_ci: Interval | None
    pass_rate: float | None
    pass_rate_ci: Interval | None
    n: int
    invalid: int
    refusal_rate: float | None
    refusal_rate_ci: Interval | None

    @property
    def asked(self) -> int:
        return self.n + self.invalid


@dataclass(frozen=True, kw_only=True)
class PolicyRow:
    """A line of the policy table: one evaluation, or all alike ones of a policy.

    evaluations: oldest first. rewards: by dimension, in the project's order. joint_pass_rate: over
    the rollouts valid on every dimension, None without any. hypervolume: of the mean reward vector
    against 0. prompts, rollouts: how many. invalid_share: of all scores asked for; cut_share: of
    rollouts stopped by length. refusal_rate: of completions that decline, None where nobody looked
    and where dimensions are judged on other completions (refusals_apart), each with its own rate.
    prompt_sets: ids of the sets that the prompts are from. comparison: equal for evaluations that
    were asked the same prompts and judged by the same versions of the same judges, which alone may
    be compared. by_prompt: the mean rewards of each prompt answered, by its key, NaN for none.
    """

    evaluations: tuple[Evaluation, ...]
    name: str
    rewards: dict[str, Figures]
    joint_pass_rate: float | None
    joint_pass_rate_ci: Interval | None
    hypervolume: float | None
    prompts: int
    rollouts: int
    invalid_share: float | None
    cut_share: float | None
    refusals_apart: bool
    refusal_rate: float | None
    refusal_rate_ci: Interval | None
    prompt_sets: tuple[int, ...]
    comparison: tuple[Judged, Asked]
    by_prompt: dict[int, tuple[float, ...]]

    @property
    def evaluation(self) -> Evaluation:
        """The first one, which names the line in addresses."""
        return self.evaluations[0]

    @property
    def comparison_key(self) -> str:
        """Names the comparison in addresses."""
        judged, asked = self.comparison
        return "-".join([*(f"{pk}.{version}" for pk, version in judged), asked.key[:8]])

    @property
    def runs(self) -> list[Run]:
        """Those that evaluated it."""
        return list(dict.fromkeys(e.stage.run for e in self.evaluations if e.stage))

    @property
    def reused_by(self) -> list[Run]:
        """Those that have an evaluation of it from another run."""
        found = (s.run for e in self.evaluations if e.stage for s in e.stage.reused_by.all())
        return list(dict.fromkeys(found))


def policy_table(evaluations: Iterable[Evaluation]) -> list[PolicyRow]:
    """The figures of each evaluation, in the order given."""
    every = list(evaluations)
    compared = _compared(every)
    return [_policy_row([e], e.label, compared[e.pk]) for e in every]


def pooled_table(evaluations: Iterable[Evaluation]) -> list[PolicyRow]:
    """The figures of each policy, by its first evaluation: over all rollouts of the evaluations
    that asked it the same prompts with the same settings and had the same judges.

    Runs from one start policy each sample it anew; as points of their own these would be on both
    sides of a front, and the luckiest on it.
    """
    every = list(evaluations)
    compared = _compared(every)
    groups: dict[tuple[int, tuple[Judged, Asked]], dict[str, list[Evaluation]]] = {}
    for e in every:
        policy = groups.setdefault((e.policy_id, compared[e.pk]), {})
        policy.setdefault(_settings(e), []).append(e)
    rows = [
        _policy_row(own, _name(own, settings if len(policy) > 1 else ""), comparison)
        for (_, comparison), policy in groups.items()
        for settings, own in policy.items()
    ]
    return sorted(rows, key=lambda row: every.index(row.evaluation))


def _compared(every: list[Evaluation]) -> dict[int, tuple[Judged, Asked]]:
    judged, asked = judged_by(every), prompts_asked(every)
    return {e.pk: (judged[e.pk], asked[e.pk]) for e in every}


def _settings(evaluation: Evaluation) -> str:
    """What shaped the completions beside the policy and the prompt; empty for imported ones."""
    params = evaluation.sampling.params
    return ", ".join(f"{name} {params[name]}" for name in SETTINGS if name in params)


def _name(own: list[Evaluation], settings: str) -> str:
    """One evaluation goes by its label, several by their policy, with the settings where others of
    it had other ones."""
    if len(own) == 1:
        return own[0].label
    return f"{own[0].policy.name} ({settings})" if settings else own[0].policy.name


def finished_evaluations(project: Project) -> "QuerySet[Evaluation]":
    """The project's evaluations whose scores are complete: imported, or of a finished stage."""
    complete = Q(stage=None) | Q(stage__status=Status.SUCCEEDED)
    found = project.evaluations.filter(complete)
    return found.select_related("policy", "sampling", "stage__run").prefetch_related(
        "judges__dimension"
    )


def summary_json(row: PolicyRow) -> dict[str, Any]:
    """A line of the policy table as `make demo` writes it."""
    rewards = {
        name: {
            "mean": f.mean,
            "mean_ci": f.mean_ci,
            "pass_rate": f.pass_rate,
            "pass_rate_ci": f.pass_rate_ci,
        }
        for name, f in row.rewards.items()
    }
    return {
        "name": row.name,
        "rewards": rewards,
        "joint_pass_rate": row.joint_pass_rate,
        "joint_pass_rate_ci": row.joint_pass_rate_ci,
        "hypervolume": row.hypervolume,
    }


def _policy_row(own: list[Evaluation], name: str, comparison: tuple[Judged, Asked]) -> PolicyRow:
    scores = _scores_of(own)
    summary = policy_summary(scores.dims, scores.raw, scores.parent, seed=SEED)
    means = [estimate.value for estimate in summary.rewards]
    *refusals, every = _refusal_rates(scores)
    known = bool(np.isfinite(scores.refused).any())
    apart = known and scores.apart
    valid = np.isfinite(scores.raw).sum(axis=0)
    defined = [mean for mean in means if mean is not None]
    return PolicyRow(
        evaluations=tuple(own),
        name=name,
        rewards={
            d.name: Figures(
                **_told("mean", summary.rewards[k]),
                **_told("pass_rate", summary.pass_rates[k]),
                **_told("refusal_rate", refusals[k]),
                n=int(valid[k]),
                invalid=int(scores.invalid[k]),
            )
            for k, d in enumerate(scores.dims)
        },
        **_told("joint_pass_rate", summary.joint_pass_rate),
        hypervolume=fronts.hypervolume([defined]) if len(defined) == len(means) else None,
        prompts=len(np.unique(scores.prompt)),
        rollouts=len(scores.raw),
        invalid_share=_share(int(scores.invalid.sum()), int(scores.asked.sum())),
        cut_share=_share(int(scores.cut.sum()), len(scores.cut)),
        refusals_apart=apart,
        **_told("refusal_rate", UNDEFINED if apart else every),
        prompt_sets=tuple(int(i) for i in np.unique(scores.prompt_set)),
        comparison=comparison,
        by_prompt=_by_prompt(scores),
    )


def _by_prompt(scores: SampledScores) -> dict[int, tuple[float, ...]]:
    rewards = PromptScores(dims=scores.dims, raw=scores.raw).rewards
    means = parent_means(rewards, scores.parent).tolist()
    keys = np.unique(scores.parent).tolist()
    return {key: tuple(own) for key, own in zip(keys, means, strict=True)}


def _scores_of(own: list[Evaluation]) -> SampledScores:
    """The rollouts of evaluations together; what another of them drew by the same seed counts once,
    since it is the same rollout again."""
    again = repeats([e.sampling_id for e in own]) if len(own) > 1 else {}
    found = []
    for evaluation in own:
        scores = evaluation_scores(evaluation)
        if gone := again.get(evaluation.sampling_id):
            places = zip(scores.prompt.tolist(), scores.index.tolist(), strict=True)
            scores = scores.rows(np.array([place not in gone for place in places]))
        found.append(scores)
    return pooled_scores(found)


def _refusal_rates(scores: SampledScores) -> list[Estimate]:
    """Of the rollouts that each dimension's judge was asked of, then of all."""
    every = np.column_stack([scores.asked, np.ones(len(scores.asked), dtype=bool)])
    refused = np.where(every, scores.refused[:, None], np.nan)
    means = parent_means(refused, scores.parent)
    found = clustered_means(means, np.arange(len(means)), seed=SEED)
    return [
        rate_of(e, int(n)) for e, n in zip(found, np.isfinite(refused).sum(axis=0), strict=True)
    ]


def _told(name: str, found: Estimate) -> dict[str, Any]:
    """A figure and its interval by their names."""
    ends = None if found.low is None or found.high is None else (found.low, found.high)
    return {name: found.value, f"{name}_ci": ends}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
