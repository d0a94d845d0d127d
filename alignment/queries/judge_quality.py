"""How far a judge agrees with people on the same completions: those whose labels were imported.

The judge's own scores are those of its present version, from stages and evaluations that judged
the imported completions, and from trials on the same texts.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, Func, IntegerField, QuerySet

from alignment.method.agreement import (
    Agreement,
    cohen_kappa,
    krippendorff_alpha,
    percent_agreement,
)
from alignment.models import Judge, JudgeTrial, Sampling, Score

SEED = 1
MOST_TRIALS = 20
MOST_LABELS = 10_000
Texts = tuple[str, str]  # prompt and completion


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
    """The judge's agreement with each imported judge of its dimension that labelled the same, on
    the first MOST_LABELS of them."""
    people = judge.project.judges.filter(dimension=judge.dimension, engine=Judge.Engine.IMPORTED)
    others = list(people.exclude(pk=judge.pk))
    own = _own_scores(judge) if others else {}
    found = [_beside(judge, own, other) for other in others]
    return [one for one in found if one.labelled]


def labelled(judge: Judge) -> list[Labelled]:
    """The samplings whose completions people labelled on the judge's dimension, newest first."""
    scores = _labels(judge).values("rollout__sampling").annotate(n=Count("rollout", distinct=True))
    counts = {row["rollout__sampling"]: row["n"] for row in scores}
    samplings = Sampling.objects.filter(pk__in=counts).select_related("policy").order_by("-pk")
    return [Labelled(sampling=s.pk, policy=s.policy.name, completions=counts[s.pk])
            for s in samplings]  # fmt: skip


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


def _own_scores(judge: Judge) -> dict[Texts, float | None]:
    """The judge's raw score of each text that it was asked about, None for no valid one."""
    trials = judge.trials.filter(state=JudgeTrial.State.DONE, judge_version=judge.version)
    # Of the latest, those of one text are somebody's tries.
    length = Func("items", function="jsonb_array_length", output_field=IntegerField())
    several = trials.alias(n=length).filter(n__gt=1)
    found: dict[Texts, float | None] = {}
    for trial in several.order_by("-pk")[:MOST_TRIALS]:
        for item, given in zip(trial.items, trial.results[0], strict=True):
            if len(item) == 2:
                found.setdefault((item[0], item[1]), given["raw"])
    labelled = _labels(judge).values("rollout")
    scores = judge.scores.filter(judge_version=judge.version, rollout__in=labelled)
    rows = scores.values_list("rollout__prompt__text", "rollout__text", "raw")
    return found | {(prompt, completion): raw for prompt, completion, raw in rows}


def _beside(judge: Judge, own: Mapping[Texts, float | None], people: Judge) -> WithPeople:
    labels = people.scores.filter(judge_version=people.version, raw__isnull=False)
    rows = labels.order_by("rollout_id").values_list(
        "rollout__prompt__text", "rollout__text", "raw"
    )
    asked = [(raw, own[prompt, text]) for prompt, text, raw in rows if (prompt, text) in own]
    asked = asked[:MOST_LABELS]
    both = [(a, b) for a, b in asked if a is not None and b is not None]
    scale = judge.dimension.record
    verdicts = [(bool(scale.passes(a)), bool(scale.passes(b))) for a, b in both]
    rewards = [(float(scale.normalise(a)), float(scale.normalise(b))) for a, b in both]
    first, second = zip(*verdicts, strict=True) if verdicts else ((), ())
    passes = Counter(verdicts)
    return WithPeople(
        labels=people.name,
        labelled=len(asked),
        invalid=len(asked) - len(both),
        both_pass=passes[True, True],
        judge_alone=passes[False, True],
        people_alone=passes[True, False],
        neither=passes[False, False],
        percent=percent_agreement(verdicts, seed=SEED),
        kappa=cohen_kappa(first, second, seed=SEED),
        alpha=krippendorff_alpha(rewards, level="interval", seed=SEED),
    )
