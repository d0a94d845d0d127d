"""How far a judge agrees with people on the same completions: those whose labels were imported.

The judge's own scores are those of its present version, from stages and evaluations that judged
the imported completions, and from trials of the samplings that they came in.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from alignment.method.agreement import (
    Agreement,
    cohen_kappa,
    krippendorff_alpha,
    percent_agreement,
)
from alignment.models import Judge, JudgeTrial, Sampling, Score

SEED = 1
MOST_LABELS = 2000
Texts = tuple[str, str]  # prompt and completion
Figures = tuple[Agreement, Agreement, Agreement]


@dataclass(frozen=True, kw_only=True)
class WithPeople:
    """A judge beside people's labels. labelled: completions that both were asked about, of which
    the judge gave `invalid` no valid score; of the others so many pass the bar by both, by the
    judge alone, by people alone, or by neither; percent, kappa: of those verdicts; alpha: of the
    rewards, as numbers."""

    labels: str
    labelled: int
    invalid: int
    both_pass: int
    judge_alone: int
    people_alone: int
    neither: int
    percent: Agreement
    kappa: Agreement
    alpha: Agreement


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A sampling with people's labels on a dimension, for so many of its completions."""

    sampling: int
    policy: str
    completions: int


def with_people(judge: Judge) -> list[WithPeople]:
    """The judge's agreement with each imported judge of its dimension, on the first MOST_LABELS
    completions that both were asked about; none of a reward model that is on no scale yet."""
    people = judge.project.judges.filter(dimension=judge.dimension, engine=Judge.Engine.IMPORTED)
    others = list(people.exclude(pk=judge.pk))
    if not others or judge.is_unscaled:
        return []
    tried = _tried(judge)
    found = [_beside(judge, other, tried) for other in others]
    return [one for one in found if one.labelled]


def labelled(judge: Judge) -> list[Labelled]:
    """The samplings whose completions people labelled on the judge's dimension, newest first."""
    scores = _labels(judge).values("rollout__sampling").annotate(n=Count("rollout", distinct=True))
    counts = {row["rollout__sampling"]: row["n"] for row in scores}
    samplings = Sampling.objects.filter(pk__in=counts).select_related("policy").order_by("-pk")
    return [
        Labelled(sampling=s.pk, policy=s.policy.name, completions=counts[s.pk]) for s in samplings
    ]


def labelled_texts(judge: Judge, sampling: int, most: int) -> list[Texts]:
    """Prompts and completions of a sampling that people labelled on the judge's dimension, the
    first so many by id."""
    found = _labels(judge).filter(rollout__sampling=sampling).order_by("rollout_id")
    texts = found.values_list("rollout__prompt__text", "rollout__text", "rollout_id").distinct()
    return [(prompt, completion) for prompt, completion, _ in texts[:most]]


def _labels(judge: Judge) -> QuerySet[Score]:
    return Score.objects.filter(
        judge__project=judge.project,
        judge__dimension=judge.dimension,
        judge__engine=Judge.Engine.IMPORTED,
        raw__isnull=False,
    )


def _tried(judge: Judge) -> dict[int, dict[Texts, float | None]]:
    """By sampling the judge's raw score of each text in its latest trial, None for no valid one."""
    trials = judge.trials.filter(
        state=JudgeTrial.State.DONE, judge_version=judge.version, sampling__isnull=False
    )
    latest = trials.order_by("sampling", "-pk").distinct("sampling")
    return {
        trial.sampling_id: {
            (item[0], item[1]): given["raw"]
            for item, given in zip(trial.items, trial.results[0], strict=True)
        }
        for trial in latest
        if trial.sampling_id is not None
    }


def _beside(judge: Judge, people: Judge, tried: dict[int, dict[Texts, float | None]]) -> WithPeople:
    own = judge.scores.filter(judge_version=judge.version, rollout=OuterRef("rollout"))
    labels = people.scores.filter(judge_version=people.version, raw__isnull=False)
    labels = labels.filter(Q(rollout__sampling__in=tried) | Exists(own)).order_by("rollout_id")
    texts = ("rollout__sampling", "rollout__prompt__text", "rollout__text")
    rows = list(labels.values_list("rollout_id", "raw", *texts)[:MOST_LABELS])
    scored = judge.scores.filter(judge_version=judge.version, rollout__in=[row[0] for row in rows])
    given = dict(scored.values_list("rollout_id", "raw"))
    asked: list[tuple[float | None, float | None]] = []
    for rollout, raw, sampling, prompt, text in rows:
        said = tried.get(sampling, {})
        if rollout in given or (prompt, text) in said:
            asked.append((raw, given.get(rollout, said.get((prompt, text)))))
    both = [(a, b) for a, b in asked if a is not None and b is not None]
    scale = judge.dimension.record
    verdicts = tuple((bool(scale.passes(a)), bool(scale.passes(b))) for a, b in both)
    rewards = tuple((float(scale.normalise(a)), float(scale.normalise(b))) for a, b in both)
    percent, kappa, alpha = _figures(verdicts, rewards)
    passes = Counter(verdicts)
    return WithPeople(
        labels=people.name,
        labelled=len(asked),
        invalid=len(asked) - len(both),
        both_pass=passes[True, True],
        judge_alone=passes[False, True],
        people_alone=passes[True, False],
        neither=passes[False, False],
        percent=percent,
        kappa=kappa,
        alpha=alpha,
    )


@lru_cache(maxsize=64)
def _figures(
    verdicts: tuple[tuple[bool, bool], ...], rewards: tuple[tuple[float, float], ...]
) -> Figures:
    """Percent and kappa of verdicts, alpha of rewards; resampling takes a while."""
    first, second = zip(*verdicts, strict=True) if verdicts else ((), ())
    return (
        percent_agreement(verdicts, seed=SEED),
        cohen_kappa(first, second, seed=SEED),
        krippendorff_alpha(rewards, level="interval", seed=SEED),
    )
