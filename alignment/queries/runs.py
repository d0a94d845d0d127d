"""A project's runs, and one run as its page shows it: stages by round with progress and times,
counts, the log's tail and the training steps.

Read whole from the rows each time, so that a page, a reload and a lost frame all agree. Ages and
times are by the database's clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now

from alignment.models import (
    ENDED,
    Chunk,
    LogLine,
    Project,
    Run,
    Stage,
    Status,
    TrainingStep,
)
from alignment.queries.hold_ups import held_up_by, last_heartbeat
from alignment.queries.stages import Gate, Gauge, gates, gauges, not_sampled, note_on, yields

LOG_LINES = 200
HELD = (Status.PENDING, Status.QUEUED, Status.WAITING)


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """A stage with its share done (0 to 1), how many of its units there are, those per second, and
    seconds used and still needed; None where nothing is known. `note` says what it found, or why it
    did nothing or failed."""

    stage: Stage
    share: float
    made: int
    rate: float | None
    elapsed: float | None
    remaining: float | None
    note: str


@dataclass(frozen=True, kw_only=True)
class Round:
    number: int
    title: str
    rows: list[StageRow]


@dataclass(frozen=True, kw_only=True)
class Step:
    """An optimizer step: its loss, the mean reward margin of its pairs, and the share of them
    whose chosen completion has the higher reward."""

    step: int
    loss: float | None
    margin: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Training:
    """A round's training, its steps in order."""

    round: int
    title: str
    steps: list[Step]


@dataclass(frozen=True, kw_only=True)
class RunState:
    """All that the page of a run shows and that changes. `share` is of the expected time where it
    is known, else of the stages; `remaining` and `heartbeat_age` are seconds."""

    run: Run
    now: datetime
    rounds: list[Round]
    active: Stage | None
    share: float
    remaining: float | None
    elapsed: float | None
    rollouts: int
    pairs: int | None
    loss_step1: float | None
    heartbeat_age: float | None
    trainings: list[Training]
    gates: list[Gate]
    gauges: list[Gauge]
    paired_rounds: list[int]
    yields: list[tuple[str, list[int | None]]]
    log: list[LogLine]
    failed: Stage | None
    hold_ups: list[str]

    @property
    def live(self) -> bool:
        return self.run.status not in ENDED and self.run.status != Status.PENDING

    @property
    def ended(self) -> bool:
        return self.run.status in ENDED


def runs_of(project: Project, text: str = "") -> "QuerySet[Any]":
    """The project's runs, newest first, with their numbers of stages and of finished ones."""
    found = project.runs.select_related("created_by").annotate(
        now=Now(),
        stage_count=Count("stages"),
        done_count=Count("stages", filter=Q(stages__status=Status.SUCCEEDED)),
    )
    return (found.filter(name__icontains=text) if text else found).order_by("-pk")


def run_state(run_id: int) -> RunState:
    """Raises Run.DoesNotExist."""
    runs = Run.objects.select_related("project", "created_by").annotate(now=Now())
    run = runs.get(pk=run_id)
    now: datetime = run.now
    stages = list(run.stages.select_related("reused_from__run").order_by("position"))
    usual = {} if run.status in ENDED else _usual_seconds(run)
    rows = [_row(stage, now, usual) for stage in stages]
    share, remaining = _progress(rows)
    active = next((s for s in stages if s.status not in (*ENDED, Status.PENDING)), None)
    failed = next((s for s in stages if s.status == Status.FAILED), None)
    heartbeat = last_heartbeat(active)
    return RunState(
        run=run,
        now=now,
        rounds=_rounds(run, rows),
        active=active,
        share=share,
        remaining=remaining,
        elapsed=_seconds(run.started_at, run.ended_at or now),
        rollouts=sum(row.made for row in rows if row.stage.unit == "rollouts"),
        pairs=_pairs(stages),
        loss_step1=_loss_step1(stages),
        heartbeat_age=_seconds(heartbeat, now),
        trainings=_trainings(run, stages),
        gates=gates(stages),
        gauges=gauges(stages),
        paired_rounds=[s.round for s in stages if s.kind == "pair" and "yield" in s.facts],
        yields=yields(stages),
        log=log_tail(run),
        failed=failed,
        hold_ups=held_up_by(active, now, heartbeat),
    )


def log_tail(run: Run) -> list[LogLine]:
    """The last lines that the run's children wrote, oldest first."""
    lines = LogLine.objects.filter(stage__run=run).select_related("stage").order_by("-pk")
    return list(lines[:LOG_LINES])[::-1]


def log_lines(run: Run) -> "QuerySet[LogLine]":
    """Every line that the run's children wrote, oldest first."""
    return LogLine.objects.filter(stage__run=run).select_related("stage").order_by("pk")


def _row(stage: Stage, now: datetime, usual: dict[str, float]) -> StageRow:
    ended = stage.ended_at if stage.status in ENDED else None
    elapsed = None if stage.status in HELD else _seconds(stage.started_at, ended or now)
    share = _share(stage)
    made = stage.done - not_sampled(stage)
    rate = made / elapsed if elapsed and made and not stage.reused_from_id else None
    return StageRow(
        stage=stage,
        share=share,
        made=made,
        rate=rate,
        elapsed=elapsed,
        remaining=_remaining(stage, share, elapsed, usual),
        note=note_on(stage),
    )


def _share(stage: Stage) -> float:
    if stage.status == Status.SUCCEEDED:
        return 1.0
    if stage.kind == "evaluate" and stage.status == Status.RUNNING:
        # What judges are left to do counts no rollouts.
        done = Count("pk", filter=Q(state=Chunk.State.DONE))
        found = stage.chunks.aggregate(every=Count("pk"), done=done)
        return float(found["done"] / found["every"]) if found["every"] else 0.0
    return min(stage.done / stage.total, 1.0) if stage.total else 0.0


def _remaining(
    stage: Stage, share: float, elapsed: float | None, usual: dict[str, float]
) -> float | None:
    """Seconds still needed: by the stage's own pace, else by how long its kind took before.

    People's time at a review is nobody's to foretell and counts as none.
    """
    if stage.status in ENDED or stage.kind == "review":
        return 0.0
    if elapsed and share:
        return elapsed * (1 - share) / share
    before = usual.get(stage.kind)
    return None if before is None else max(before - (elapsed or 0), 0.0)


def _usual_seconds(run: Run) -> dict[str, float]:
    """How long each kind of stage took when it last ran to its end in this project."""
    done = Stage.objects.filter(
        run__project=run.project_id, status=Status.SUCCEEDED, reused_from=None, total__gt=0
    ).exclude(started_at=None)
    latest = done.order_by("kind", "-ended_at").distinct("kind")
    took = latest.annotate(took=F("ended_at") - F("started_at")).values_list("kind", "took")
    return {kind: span.total_seconds() for kind, span in took}


def _progress(rows: list[StageRow]) -> tuple[float, float | None]:
    """Share done, and seconds left where every stage's are known."""
    left = [row.remaining for row in rows]
    by_stage = sum(row.share for row in rows) / len(rows) if rows else 0.0
    if any(seconds is None for seconds in left):
        return by_stage, None
    remaining = sum(seconds or 0.0 for seconds in left)
    used = sum(row.elapsed or 0.0 for row in rows if row.stage.kind != "review")
    if not used or any(row.stage.status in (Status.FAILED, Status.CANCELLED) for row in rows):
        return by_stage, remaining
    return used / (used + remaining), remaining


def _rounds(run: Run, rows: list[StageRow]) -> list[Round]:
    numbers = sorted({row.stage.round for row in rows})
    return [
        Round(
            number=number,
            title=round_title(run, number),
            rows=[row for row in rows if row.stage.round == number],
        )
        for number in numbers
    ]


def round_title(run: Run, number: int) -> str:
    """What a round of a run is about: 0 is the start policy."""
    if not number:
        return "Start policy"
    focus = run.config["rounds"][number - 1]["focus"]
    return f"Round {number}: {focus or 'all dimensions at once'}"


def _pairs(stages: Iterable[Stage]) -> int | None:
    """Pairs found so far, None before any stage looked for them."""
    found = [s.facts["pairs"] for s in stages if s.kind == "pair" and "pairs" in s.facts]
    return sum(found) if found else None


def _loss_step1(stages: Iterable[Stage]) -> float | None:
    """The first step's loss of the latest training that has ended."""
    found = [s.facts["loss_step1"] for s in stages if s.facts.get("loss_step1") is not None]
    return found[-1] if found else None


def _trainings(run: Run, stages: Iterable[Stage]) -> list[Training]:
    trained = {s.source.pk: s for s in stages if s.kind == "train"}
    steps: dict[int, list[Step]] = {}
    for row in TrainingStep.objects.filter(stage__in=trained).order_by("stage_id", "step"):
        steps.setdefault(row.stage_id, []).append(_step(row.step, row.metrics))
    return [
        Training(round=stage.round, title=round_title(run, stage.round), steps=steps[source])
        for source, stage in trained.items()
        if source in steps
    ]


def _step(step: int, metrics: dict[str, Any]) -> Step:
    return Step(
        step=step,
        loss=metrics.get("loss"),
        margin=metrics.get("margin"),
        accuracy=metrics.get("accuracy"),
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None
