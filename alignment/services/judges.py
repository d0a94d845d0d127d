"""Save judges and rewriters in versions, try a judge on texts, put a reward model on a scale."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now

from alignment import dispatch
from alignment.method.errors import MoraError
from alignment.method.judging import Reference
from alignment.method.plan import judges_named
from alignment.models import (
    ENDED,
    Judge,
    JudgeTrial,
    Project,
    Rewriter,
    Role,
    Rollout,
    Run,
    Sampling,
    Status,
)
from alignment.permissions import require
from alignment.services.readiness import model_problem

MOST_ITEMS, MOST_TEXT, MOST_REPEATS = 2000, 100_000, 10
LEAST_REFERENCE = 20
QUANTILES = (0.05, 0.95)
CANNOT_TRY = (Judge.Engine.IMPORTED, Judge.Engine.MC2)
# Prompt and completion; with a second completion, a rubric judge compares the two in this order.
Kept = TypeVar("Kept", Judge, Rewriter)
Item = tuple[str, str] | tuple[str, str, str]


def save(row: Judge | Rewriter) -> None:
    """Save a judge or rewriter that people edited; what changes its results raises its version.

    Raises ValidationError for settings that cannot be.
    """
    row.full_clean()
    if isinstance(row, Judge):
        row.code = row.code_now
    with transaction.atomic():
        if row.pk is not None:
            known = type(row).objects.select_for_update().get(pk=row.pk)
            check_change(row)
            row.version = known.version + (_what_counts(known) != _what_counts(row))
        row.save()


def check_change(row: Judge | Rewriter) -> None:
    """Raises ValidationError where a change would alter what runs found, or are at work with."""
    known = type(row).objects.filter(pk=row.pk).first()
    if known is None:
        return
    if isinstance(row, Judge) and isinstance(known, Judge):
        kept = ("dimension_id", "engine")
        if any(getattr(known, name) != getattr(row, name) for name in kept):
            raise ValidationError("a judge keeps its dimension and its engine: make another")
    named_by = runs_naming(known)
    if known.name != row.name and named_by:
        raise ValidationError(f"run {named_by[0]} names {known}, so it keeps that name")
    live = _at_work(named_by)
    if live and _what_counts(known) != _what_counts(row):
        raise ValidationError(
            f"run {live} is at work with {known}: change it when the run has ended, or make another"
        )


def notice_code(project: Project, names: Collection[str]) -> None:
    """Make those of the judges named whose rules the operator has edited since a new version, for
    what they scored does not compare. Raises MoraError while a run is at work with one."""
    for judge in _of_other_code(project, names):
        if not judge.code:  # of before codes were kept: what it scored is taken for this code's
            Judge.objects.filter(pk=judge.pk, code="").update(code=judge.code_now)
            continue
        if live := _at_work(runs_naming(judge)):
            raise MoraError(
                f"the code of judge {judge} is not as it was, and run {live} is at work with it:"
                " put it back, or wait until that run has ended"
            )
        with suppress(ValidationError):  # a rule that is no longer listed; who needs it is told
            save(judge)


def edited(project: Project, names: Collection[str]) -> list[Judge]:
    """Those of the judges named whose rules' code is not what it was when they were saved."""
    return [judge for judge in _of_other_code(project, names) if judge.code]


def _of_other_code(project: Project, names: Collection[str]) -> list[Judge]:
    judges = project.judges.filter(name__in=names).exclude(rule="", prompt_rule="")
    return [judge for judge in judges if judge.code != judge.code_now]


def runs_naming(row: Judge | Rewriter) -> list[Run]:
    """The project's runs whose configuration names the judge or rewriter."""
    return [run for run in row.project.runs.all() if row.name in _named(run, row)]


def _at_work(runs: Iterable[Run]) -> Run | None:
    """The first of the runs that has begun and not ended."""
    return next((run for run in runs if run.status not in (*ENDED, Status.PENDING)), None)


def _named(run: Run, row: Judge | Rewriter) -> set[str]:
    if isinstance(row, Judge):
        return judges_named(run.config)
    return {run.config["rewrite"]["rewriter"]}


def _what_counts(row: Judge | Rewriter | Any) -> tuple[Any, ...]:
    names = ("engine", "rule", "prompt_rule", "code", "dimension_id", "settings")
    return tuple(getattr(row, name, None) for name in names)


def keep(*, row: Kept, by: User) -> Kept:
    """Save a judge or rewriter, new or edited. Raises MoraError for what cannot be, or Denied."""
    require(by, row.project, Role.RESEARCHER)
    if isinstance(row, Judge):
        _check_kept(row)
    try:
        row.full_clean()
        if problem := model_problem(row):
            raise MoraError(problem)
        save(row)
    except ValidationError as error:
        raise MoraError("; ".join(error.messages)) from error
    return row


def _check_kept(row: Judge) -> None:
    """Raises MoraError for what only an import or a fitted trial brings into a judge."""
    if row.pk is None and row.engine == Judge.Engine.IMPORTED:
        raise MoraError("imported scores make their judge when they are imported")
    if row.engine == Judge.Engine.REWARD and isinstance(row.settings, dict):
        known = Judge.objects.filter(pk=row.pk).first()
        fitted = known.settings.get("reference") if known else None
        if row.settings.setdefault("reference", fitted) != fitted:
            raise MoraError(
                "a reward model's scale is fitted to a trial, once: fit it, or make another judge"
            )


def edit_settings(*, row: Kept, settings: dict[str, Any], by: User) -> Kept:
    """Give a judge or rewriter other settings. Raises as `keep` does."""
    row.settings = settings
    return keep(row=row, by=by)


def try_judge(
    *,
    judge: Judge,
    items: Sequence[Item],
    by: User,
    repeats: int = 1,
    sampling: int | None = None,
) -> JudgeTrial:
    """Have the judge score texts outside any run; a worker does it. Raises MoraError or Denied.

    sampling: whose prompts and completions the items are, if they all are of one.
    """
    require(by, judge.project, Role.RESEARCHER)
    if judge.engine in CANNOT_TRY:
        raise MoraError(f"a judge of the engine {judge.engine!r} cannot be tried on a text")
    if not 1 <= len(items) <= MOST_ITEMS or not 1 <= repeats <= MOST_REPEATS:
        raise MoraError(f"try 1 to {MOST_ITEMS} texts, 1 to {MOST_REPEATS} times each")
    if len({len(item) for item in items}) > 1:
        raise MoraError("compare two completions in every item of a trial, or in none")
    if len(items[0]) == 3 and judge.engine != Judge.Engine.RUBRIC:
        raise MoraError("only a rubric judge compares two completions")
    if any(len(text) > MOST_TEXT or "\0" in text for item in items for text in item):
        raise MoraError(f"a text is over {MOST_TEXT:,} characters or holds a NUL character")
    notice_code(judge.project, [judge.name])
    judge.refresh_from_db()
    with transaction.atomic():
        trial = JudgeTrial.objects.create(
            judge=judge,
            judge_version=judge.version,
            items=[list(item) for item in items],
            sampling_id=sampling,
            repeats=repeats,
            asked_by=by,
        )
        dispatch.ring_for_trial(trial)
    return trial


def items_of(project: Project, sampling_id: int, most: int = MOST_ITEMS) -> list[Item]:
    """Prompts and completions of a sampling of the project, the first so many by id."""
    sampling = Sampling.objects.filter(project=project, pk=sampling_id).first()
    if sampling is None:
        raise MoraError(f"the project has no sampling {sampling_id}")
    rollouts = Rollout.objects.filter(sampling=sampling).select_related("prompt").order_by("pk")
    return [(r.prompt.text, r.text) for r in rollouts[:most]]


def fit_reference(*, trial: JudgeTrial, by: User) -> Judge:
    """Put a reward model on its dimension's scale, by a finished trial as its reference set.

    The 5 % and 95 % quantiles of the trial's values become the scale's ends. Raises MoraError
    where the trial is of another version or too small, or the judge's values are on a scale
    already: scores before and after would not compare.
    """
    judge = trial.judge
    require(by, judge.project, Role.RESEARCHER)
    if judge.engine != Judge.Engine.REWARD or trial.state != JudgeTrial.State.DONE:
        raise MoraError("a scale is fitted to a finished trial of a reward model")
    if judge.typed.own_units:
        raise MoraError(f"judge {judge} gives raw scores in its own units (own_units): fit none")
    if judge.typed.reference is not None or trial.judge_version != judge.version:
        raise MoraError(
            f"judge {judge} has a reference already, or changed since the trial; make another judge"
        )
    values = [found["raw"] for found in trial.results[0] if found["raw"] is not None]
    if len(values) < LEAST_REFERENCE:
        raise MoraError(f"{len(values)} values are too few: try {LEAST_REFERENCE} texts or more")
    low, high = (float(q) for q in np.quantile(values, QUANTILES))
    if not low < high:
        raise MoraError("the trial's values are all alike, so they fit no scale")
    facts = {"low": low, "high": high, "quantiles": QUANTILES, "n": len(values), "trial": trial.pk}
    judge.settings["reference"] = Reference.model_validate(facts).model_dump()
    save(judge)
    return judge


def next_trial(queue: str) -> JudgeTrial | None:
    """The oldest trial that waits for a worker of the queue."""
    waiting = JudgeTrial.objects.filter(state=JudgeTrial.State.WAITING).select_related("judge")
    own = (trial for trial in waiting.order_by("pk") if dispatch.queue_of_trial(trial) == queue)
    return next(own, None)


def begin_trial(trial_id: int) -> JudgeTrial | None:
    """The trial, now running; None when another worker has it."""
    State = JudgeTrial.State
    waiting = JudgeTrial.objects.filter(pk=trial_id, state=State.WAITING)
    if not waiting.update(state=State.RUNNING):
        return None
    return JudgeTrial.objects.select_related("judge__dimension").get(pk=trial_id)


def end_trial(trial: JudgeTrial, *, results: list[Any] | None = None, error: str = "") -> None:
    """Record what a trial found, or why it failed."""
    state = JudgeTrial.State.FAILED if error else JudgeTrial.State.DONE
    JudgeTrial.objects.filter(pk=trial.pk).update(
        state=state, results=results or [], error=error, ended_at=Now()
    )
