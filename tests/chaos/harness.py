"""Runs the same run undisturbed and then under strikes at random instants, over and over, and
measures what was promised: nothing lost, nothing doubled, the same outcome, and how soon."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

from alignment.models import ENDED, Run, Status
from tests.chaos import audit, cancels, project
from tests.chaos.console import Console
from tests.chaos.strikes import OFTEN, OTHERS, VICTIMS, Striker

CALM_SECONDS = 600.0
AWAY_SECONDS = 60.0
STUCK_SECONDS = 120.0  # without an event
FEWEST_IN_DECK = 4  # some may have nothing to hit for a while
SECONDS_A_STRIKE, MOST_STRIKES_A_STAGE = 6.0, 4
SLOW_CANCEL_SECONDS, SLOW_RECLAIM_SECONDS = 2.0, 12.0  # what the progress lines tell of
T = TypeVar("T")


@dataclass
class Findings:
    """What was measured, over all runs."""

    runs: int = 0
    lost: int = 0
    doubled: int = 0
    stale_writes: int = 0
    redone: int = 0
    redone_by_process: int = 0
    equal: list[bool] = field(default_factory=list)
    reclaims: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    cancels: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Harness:
    def __init__(
        self,
        console: Console,
        policy: tuple[str, str],
        seed: int,
        kills: int,
        say: Callable[[str], None],
    ) -> None:
        self.console, self.policy, self.kills, self.say = console, policy, kills, say
        self.deadline = float("inf")
        self.random = random.Random(seed)
        self.striker = Striker(console, self.random)
        self.found = Findings()
        self.calm: list[str] = []
        self.lasted: dict[str, float] = {}
        self.struck: Counter[str] = Counter()
        self.deck: list[str] = []
        self.first = True
        self.cancelled: list[tuple[float, float]] = []

    def steady(self, call: Callable[[], T]) -> T:
        """Call again while the database is away; what is due is done meanwhile."""
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return call()
            except (OperationalError, InterfaceError):
                connection.close()
                if time.monotonic() > deadline:
                    raise
                self.striker.tick()
                time.sleep(0.1)

    def undisturbed(self) -> None:
        """The run as it is when nobody disturbs it, and how long each kind of stage takes."""
        run = project.start("calm", self.policy)
        began = time.monotonic()
        while run.status not in ENDED:
            project.decide_next(run)
            run.refresh_from_db()
            if time.monotonic() - began > CALM_SECONDS:
                raise TimeoutError("the undisturbed run does not end")
            time.sleep(0.05)
        assert run.status == Status.SUCCEEDED, [s.reason for s in run.stages.all()]
        self.calm = project.record_of(run)
        for stage in run.stages.all():
            seconds = (stage.ended_at - (stage.queued_at or stage.started_at)).total_seconds()
            self.lasted[stage.kind] = max(seconds, self.lasted.get(stage.kind, 0))

    def shaken(self, number: int) -> None:
        """One run under strikes; those end when enough kills were done."""
        run = self.steady(lambda: project.start(f"shaken-{number}", self.policy))
        moved = 0, time.monotonic()
        acknowledged: list[int] = []
        stage, due = -2, []
        while not self.steady(lambda: self._is_over(run)):
            if item := self.steady(lambda: project.decide_next(run)):
                acknowledged.append(item)
            position, kind = self.steady(lambda: self._stage(run))
            if position != stage:
                stage, due = position, self._instants(kind)
            self.striker.tick()
            if due and time.monotonic() >= due[0]:
                due = due[1:] if self._strike(run, kind) else due
            if run.seq != moved[0]:
                moved = run.seq, time.monotonic()
            if time.monotonic() - moved[1] > STUCK_SECONDS:
                stages = [f"{s.kind} {s.status} {s.done}/{s.total}" for s in run.stages.all()]
                self.found.failures.append(f"{run.project.slug} is stuck: {', '.join(stages)}")
                break
            time.sleep(0.03)
        self.striker.settle()
        self.striker.wake_all()
        self.steady(lambda: self._judge(run, acknowledged))

    def _is_over(self, run: Run) -> bool:
        run.refresh_from_db()
        return run.status in ENDED

    def _stage(self, run: Run) -> tuple[int, str]:
        """Position and kind of the stage that the run is at; -1 when it has ended."""
        stage = run.stages.exclude(status__in=ENDED).order_by("position").first()
        return (stage.position, stage.kind) if stage else (-1, "")

    def _instants(self, kind: str) -> list[float]:
        """When to strike in a stage that begins now: at random, more often in a longer one."""
        seconds = self.lasted.get(kind, 0.0)
        strikes = min(MOST_STRIKES_A_STAGE, 1 + round(seconds / SECONDS_A_STRIKE))
        now = time.monotonic()
        return sorted(now + self.random.uniform(0, seconds) for _ in range(strikes if kind else 0))

    def _strike(self, run: Run, stage: str) -> bool:
        """Draw one strike and do it; false when there was nothing to hit."""
        if self.striker.kills >= self.kills or time.monotonic() > self.deadline:
            return True
        if len(self.deck) < FEWEST_IN_DECK:
            self.deck += self._shuffled()
        what = self.deck.pop()
        if what == "cancel":
            done = self._cancel(run)
        else:
            done = self.steady(lambda: self.striker.strike(what, run, stage))
        if done:
            self.struck[stage] += 1
            left = max(0.0, self.deadline - time.monotonic())
            kills = f"{self.striker.kills}/{self.kills} kills"
            self.say(f"{kills}, at most {left:.0f} s left: {what} in {stage}")
        else:
            self.deck.insert(0, what)
        return done

    def _shuffled(self) -> list[str]:
        """Every victim once at first, then some more often; other strikes in between."""
        kills = [*VICTIMS] if self.first else [*VICTIMS, *OFTEN]
        self.first = False
        others = [*OTHERS, "cancel", "cancel", "cancel"]
        self.random.shuffle(kills)
        self.random.shuffle(others)
        drawn = []
        for i, kill in enumerate(kills):
            drawn += [kill, others[i // 2]] if i % 2 else [kill]
        return drawn

    def _cancel(self, run: Run) -> bool:
        """Cancel and take up again; measured with nobody asleep and the database there."""
        self.striker.wake_all()
        if self.steady(lambda: self._is_over(run)) or run.status == Status.CANCELLING:
            return False
        began = time.time()
        seconds, last = self.steady(lambda: cancels.cancel(run))
        if seconds > SLOW_CANCEL_SECONDS:
            self.say(f"a cancel took {seconds:.1f} s; last to live: {last}")
        self.found.cancels.append(seconds)
        self.steady(lambda: cancels.take_up_again(run))
        self.cancelled.append((began, time.time()))
        return True

    def _judge(self, run: Run, acknowledged: list[int]) -> None:
        """What the run's rows say of the promises."""
        found, name = self.found, run.project.slug
        found.runs += 1
        if run.status != Status.SUCCEEDED:
            reasons = [f"{s.kind}: {s.reason}" for s in run.stages.all() if s.traceback or s.reason]
            found.failures.append(f"{name} has {run.status}: {'; '.join(reasons)}")
        record = project.record_of(run)
        lost = Counter(self.calm) - Counter(record)
        found.lost += sum(lost.values()) + len(acknowledged) - len(set(acknowledged))
        found.equal.append(record == self.calm)
        if doubled := audit.doubled(run):
            found.failures.append(f"{name} has rows twice: {doubled}")
        found.doubled += sum(doubled.values())
        if damaged := audit.damaged_artifacts(run):
            found.failures.append(f"{name} has damaged artifacts: {damaged}")
        numbers = list(run.events.values_list("seq", flat=True))
        if numbers != list(range(1, run.seq + 1)):
            found.failures.append(f"{name} has a gap in its events")
        found.stale_writes = audit.stale_writes(run)
        self._judge_claims(audit.claims_of(run))

    def _judge_claims(self, claims: list[audit.Held]) -> None:
        """How soon the chunks of the killed were claimed again, and how many there were."""
        found = self.found
        for held in claims:
            if held.ended == "done" and held.again is not None:
                found.failures.append(f"chunk {held.chunk} was done and claimed again")
        for strike in self.striker.done:
            interrupted = [
                held
                for held in claims
                if held.process == strike.pid
                and held.since <= strike.at
                and not (held.until <= strike.at or held.ended == "done")
            ]
            delays = [
                held.again - strike.at
                for held in interrupted
                if held.again and not self._was_closed(strike.at, held.again)
            ]
            if delays and max(delays) > SLOW_RECLAIM_SECONDS:
                self.say(
                    f"{strike.what} in {strike.stage}: claimed again after {max(delays):.1f} s"
                )
            if strike.what in ("child", "gpu", "gpu2", "cpu", "cpu2"):
                found.reclaims += delays
                slots = Counter(held.owner for held in interrupted)
                found.redone = max([found.redone, *slots.values()])
                found.redone_by_process = max(found.redone_by_process, len(interrupted))
            elif strike.what == "long pause":
                found.pauses += delays

    def _was_closed(self, since: float, until: float) -> bool:
        """Whether the run was cancelled or the database kept away in between: nobody can claim."""
        closed = [*self.cancelled, *self.striker.away]
        return any(began < until and since < ended for began, ended in closed)
