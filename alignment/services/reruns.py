"""Rerun from here: a new run of the same configuration that goes on from a stage of an earlier one.

The stages before it are used as they are. A review stage begins with the earlier decisions and
waits, its clock stopped, until somebody changes one or lets the run go on.
"""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from alignment import lifecycle
from alignment.method import plan
from alignment.method.errors import MoraError
from alignment.models import ENDED, Role, Run, Stage, Status
from alignment.permissions import require
from alignment.reviewing import closed_sentence
from alignment.services.judges import notice_code
from alignment.services.names import check_name
from alignment.services.runs import parse_config


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What a rerun does with a stage of the earlier run: whether it runs again, and why."""

    stage: Stage
    again: bool
    why: str


def rerun_plan(stage: Stage) -> list[Rerun]:
    """What a rerun from the stage would run again and what it would use as it is, in order.

    Raises MoraError where it cannot be: the stage is under way, or one before it did not succeed.
    """
    if stage.status not in ENDED:
        raise MoraError(f"this stage is {stage.status}; a rerun goes on from one that has ended")
    stages = list(stage.run.stages.order_by("position"))
    for before in stages[: stage.position]:
        if before.status != Status.SUCCEEDED:
            raise MoraError(f"the {before.kind} stage before it {before.status}; retry the run")
    found = []
    for one in stages:
        again = one.position >= stage.position
        why = "used as it is"
        if one.pk == stage.pk:
            begins = "begins with the decisions made" if one.kind == "review" else "chosen"
            why = begins
        elif again:
            why = f"comes after {stage.kind}"
        found.append(Rerun(stage=one, again=again, why=why))
    return found


def rerun_from(*, stage: Stage, by: User, name: str = "") -> Run:
    """Create and start a new run that goes on from a stage of an earlier one.

    name: of the new run; by default the earlier one's with a number. Raises MoraError as
    `rerun_plan` does and for a name that is taken; Denied below researcher.
    """
    require(by, stage.run.project, Role.RESEARCHER)
    rerun_plan(stage)
    config = parse_config(stage.run.config)
    notice_code(stage.run.project, plan.judges_named(stage.run.config))
    name = name.strip() or _free_name(stage.run)
    check_name("name of the run", name)
    try:
        with transaction.atomic():
            run = Run.objects.create(
                project=stage.run.project,
                name=name,
                config=config.model_dump(mode="json"),
                created_by=by,
                rerun_from=stage,
            )
            Stage.objects.bulk_create(
                Stage(run=run, position=s.position, round=s.round, kind=s.kind, config=s.config)
                for s in plan.expand(config)
            )
            lifecycle.emit(run.pk, "run", {"status": Status.PENDING})
    except IntegrityError as error:
        raise MoraError(f"the project has a run named {name!r} already; choose another") from error
    lifecycle.advance(run)
    return run


def _free_name(run: Run) -> str:
    taken = set(run.project.runs.values_list("name", flat=True))
    base = run.name[:90]
    return next(n for i in range(2, len(taken) + 3) if (n := f"{base} ({i})") not in taken)


def close_review_now(*, stage: Stage, by: User) -> None:
    """Let a run go on from a review in which nothing is left, without waiting for its clock.

    Raises MoraError where something is left or the stage does not wait; Denied below researcher.
    """
    require(by, stage.run.project, Role.RESEARCHER)
    complete = Stage.objects.filter(pk=stage.pk, status=Status.WAITING, done=F("total"))
    if not complete.update(closes_at=Now()):
        stage.refresh_from_db(fields=("status",))
        if stage.status != Status.WAITING:
            raise MoraError(closed_sentence(stage.status))
        raise MoraError("this review cannot close yet: rewrites in it are undecided")
    lifecycle.close_review(stage)
