"""The table of status moves and the only writer of status.

One function applies a move: a conditional update that must hit exactly one row, the run's own
status, and the event, in one transaction. The event comes last, since numbering it locks the run:
whoever reads events by number never misses one that commits late. `advance` hands a run on to its
next stage. Which work a stage holds is the workers' business.
"""

import json
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models import CASCADE
from django.db.models.functions import Now

from alignment import dispatch, reuse, reviewing
from alignment.fingerprints import fingerprint_of
from alignment.method import plan
from alignment.method.errors import MoraError
from alignment.models import ENDED, Chunk, LogLine, Run, Stage, Status

S = Status
MOVES: dict[str, frozenset[str]] = {
    S.PENDING: frozenset({S.QUEUED, S.WAITING, S.SUCCEEDED, S.CANCELLED}),
    S.QUEUED: frozenset({S.RUNNING, S.FAILED, S.SUCCEEDED, S.CANCELLED, S.PENDING}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLING, S.PENDING}),
    S.WAITING: frozenset({S.SUCCEEDED, S.CANCELLED}),
    S.CANCELLING: frozenset({S.CANCELLED}),
    S.FAILED: frozenset({S.PENDING}),
    S.CANCELLED: frozenset({S.PENDING}),
    S.SUCCEEDED: frozenset(),
}
LIVE = (S.QUEUED, S.RUNNING, S.WAITING, S.CANCELLING)
CHANNEL = "mora_events"


class Stale(MoraError):
    """The row had another status than the move expected: somebody else was first."""


def move(stage: Stage, to: Status, **fields: Any) -> None:
    """Move a stage from the status it was read with, with further columns; raises Stale."""
    if to not in MOVES[stage.status]:
        raise Stale(f"a {stage.status} stage cannot become {to}: {stage}")
    with transaction.atomic():
        stamps: dict[str, Any] = {}
        if to == S.QUEUED:
            stamps = {"queued_at": Now(), "started_at": None, "ended_at": None}
            stamps["queue"] = dispatch.queue_of(stage)
            stamps["version"] = plan.VERSIONS[stage.kind]
        elif to in (S.RUNNING, S.WAITING):
            stamps = {"started_at": Now()}
        elif to in ENDED:
            stamps = {"ended_at": Now()}
        changed = Stage.objects.filter(pk=stage.pk, status=stage.status).update(
            status=to, **stamps, **fields
        )
        if changed != 1:
            raise Stale(f"the stage is no longer {stage.status}: {stage}")
        stage.refresh_from_db()
        _settle_run(stage.run_id)
        _tell(stage, to)


def _tell(stage: Stage, status: Status) -> None:
    """Write the event of how a stage stands; as `emit`, the last of its transaction."""
    told = {"stage": stage.pk, "kind": stage.kind, "round": stage.round, "status": status}
    emit(stage.run_id, "stage", told)


def emit(run_id: int, kind: str, data: dict[str, Any]) -> int:
    """Write the run's next event and announce it on commit; its number.

    Call it last in its transaction: it locks the run until the commit.
    """
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(
            "WITH n AS (UPDATE alignment_run SET seq = seq + 1 WHERE id = %s RETURNING seq),"
            " e AS (INSERT INTO alignment_event (run_id, seq, kind, data, at)"
            " SELECT %s, seq, %s, %s::jsonb, now() FROM n RETURNING seq)"
            " SELECT seq, pg_notify(%s, %s) FROM e",
            [run_id, run_id, kind, json.dumps(data), CHANNEL, str(run_id)],
        )
        (seq, _) = cursor.fetchone()
    return int(seq)


def advance(run: Run) -> None:
    """Start the run's next pending stage, passing over those that are skipped or reused.

    Call it outside a transaction: every move is its own, so that locks are taken in the order
    chunk, stage, run. Anyone may call it at any time; the sweeper does after a crash.
    """
    related = ("run__project", "run__rerun_from__run")
    stages = list(run.stages.select_related(*related).order_by("position"))
    for i, stage in enumerate(stages):
        if stage.status == S.SUCCEEDED:
            continue
        if stage.status != S.PENDING:
            return
        try:
            _start(stage, stages[:i])
        except Stale:  # somebody else started or cancelled it
            return
        if stage.status != S.SUCCEEDED:
            return


def _start(stage: Stage, before: list[Stage]) -> None:
    """Queue the stage, open it for review, or end it at once; or leave it pending while another run
    is at work on the same, whose rows it can use when that has ended."""
    if cause := _nothing_to_do(stage, before):
        return move(stage, S.SUCCEEDED, reason=f"skipped: {cause}")
    fingerprint = fingerprint_of(stage, before)
    with transaction.atomic():
        _one_start_at_a_time(stage.run.project_id)
        if twin := reuse.finished(stage, before, fingerprint):
            return _reuse(stage, twin)
        if other := reuse.at_work(stage, before, fingerprint):
            return _wait_for(stage, other)
        if stage.kind == "review":
            rewrites = next(s for s in reversed(before) if s.kind == "rewrite")
            return _open_review(stage, rewrites, fingerprint)
        move(stage, S.QUEUED, fingerprint=fingerprint, reason="")
        dispatch.ring(stage)


def _one_start_at_a_time(project_id: int) -> None:
    """Of two runs that come to the same work at once, one does it and the other sees that."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('start'), %s)", [project_id])


def _wait_for(stage: Stage, other: Run) -> None:
    """Say on the pending stage what it waits for; the sweeper asks again. A run that waits before
    its first stage is queued."""
    Run.objects.filter(pk=stage.run_id, status=S.PENDING).update(status=S.QUEUED)
    reason = f"waits for run {other.name}, which is at work on the same"
    if stage.reason != reason:
        Stage.objects.filter(pk=stage.pk, status=S.PENDING).update(reason=reason)
        _tell(stage, S.PENDING)


def _reuse(stage: Stage, twin: Stage) -> None:
    move(
        stage,
        S.SUCCEEDED,
        fingerprint=twin.fingerprint,
        reused_from=twin,
        reason=f"{twin.reason}; reused" if twin.empty else f"reused from run {twin.run.name}",
        **{name: getattr(twin, name) for name in ("facts", "total", "done", "unit", "empty")},
    )


def _open_review(stage: Stage, rewrites: Stage, fingerprint: str) -> None:
    """List the rewrites to review; where people need to decide none of them, end at once.

    A stage that was opened before, or goes on from an earlier run's, keeps what was decided.
    """
    with transaction.atomic():
        reviewing.list_items(stage, rewrites)
        origin = stage.run.rerun_from
        carried = origin is not None and origin.position == stage.position
        if origin is not None and carried:
            reviewing.carry(stage, origin)
        total, asked, done, disputed = reviewing.counts(stage)
        counted = {"fingerprint": fingerprint, "total": total, "unit": "rewrites", "done": done}
        if not asked:
            reason = f"review not asked for: {total} rewrites approved as written"
            return move(stage, S.SUCCEEDED, reason=reason, **counted)
        delay = timedelta(seconds=reviewing.close_after(stage.run))
        clock = Now() + delay if done == total and not carried else None
        move(stage, S.WAITING, disputed=disputed, closes_at=clock, **counted)


def _nothing_to_do(stage: Stage, before: list[Stage]) -> str:
    """Why the stage has nothing to work on: an earlier stage of its round came out empty."""
    if stage.kind == "evaluate":
        return ""
    causes = [s.reason for s in before if s.round == stage.round and s.empty]
    return causes[0] if causes else ""


def succeed(stage: Stage, **fields: Any) -> None:
    """End a stage with success and, once that is committed, hand the run on."""
    move(stage, S.SUCCEEDED, **fields)
    transaction.on_commit(partial(advance, stage.run))


def close_review(stage: Stage) -> None:
    """End a waiting review stage whose clock has run out; else do nothing.

    The stage's row is locked first, so that a decision taken back at the last moment keeps it
    open.
    """
    due = Stage.objects.filter(pk=stage.pk, status=S.WAITING, closes_at__lte=Now())
    if not due.exists():
        return
    with transaction.atomic():
        locked = due.select_for_update(of=("self",)).select_related("run__project").first()
        if locked is None:
            return
        kept = locked.review_items.exclude(outcome=None).exists()
        reason = "" if kept else "no rewrite was approved"
        succeed(locked, empty=not kept, reason=reason, closes_at=None)


def fail(stage: Stage, reason: str, traceback: str = "") -> None:
    """End a stage, and with it its run, for a stated reason."""
    move(stage, S.FAILED, reason=reason, traceback=traceback)


def cancel(run: Run) -> None:
    """Cancel what has not ended; a running stage is cancelling until its work has stopped.

    From the last stage to the first, so that a stage which ends meanwhile starts none after it.
    """
    for stage in run.stages.exclude(status__in=ENDED).order_by("-position"):
        with suppress(Stale):
            if stage.status == S.RUNNING:
                move(stage, S.CANCELLING, reason="cancelled by a person")
            elif stage.status != S.CANCELLING:
                move(stage, S.CANCELLED, reason="cancelled with its run")
            if stage.status == S.CANCELLING:
                confirm_cancel(stage)
    if run.stages.filter(status__in=(S.PENDING, S.QUEUED, S.WAITING, S.RUNNING)).exists():
        cancel(run)


def confirm_cancel(stage: Stage) -> None:
    """A cancelling stage is cancelled once no worker holds a chunk of it."""
    if not stage.chunks.filter(state=Chunk.State.CLAIMED).exists():
        move(stage, S.CANCELLED)


def retry(run: Run) -> None:
    """Take a failed or cancelled run up again where it stopped; finished chunks are kept.

    All in one transaction: a run whose stages are partly cancelled is one whose cancel goes on.
    """
    with transaction.atomic():
        for stage in run.stages.filter(status__in=(S.FAILED, S.CANCELLED)).order_by("position"):
            if stage.version != plan.VERSIONS[stage.kind]:
                _forget_work(stage)
            stage.chunks.filter(state=Chunk.State.FAILED).update(
                state=Chunk.State.OPEN, attempts=0, error=""
            )
            move(stage, S.PENDING, reason="", traceback="", ended_at=None)
    advance(run)


def start_over(stage: Stage) -> None:
    """Begin a stage anew that another version of its kind's code began and nobody works on.

    What that version made of it is dropped, so that a stage's rows are all of one version.
    """
    with transaction.atomic():
        states = list(stage.chunks.select_for_update().values_list("state", flat=True))
        if Chunk.State.CLAIMED in states:
            return
        _forget_work(stage)
        move(stage, S.PENDING, done=0, total=0, facts={}, fingerprint="")
    advance(stage.run)


def _forget_work(stage: Stage) -> None:
    """Delete a stage's chunks and everything that was made under it but its log."""
    for relation in Stage._meta.related_objects:
        model, field = relation.related_model, relation.field
        if relation.on_delete is CASCADE and model is not LogLine:
            model._base_manager.filter(**{field.name: stage}).delete()


def _settle_run(run_id: int) -> None:
    """Bring the run's status in line with its stages'. Locks the run before it reads them."""
    run = Run.objects.select_for_update().get(pk=run_id)
    status = _status_of(set(run.stages.values_list("status", flat=True)))
    started = run.started_at or (Now() if status == S.RUNNING else None)
    ended = Now() if status in ENDED else None
    if status != run.status:
        Run.objects.filter(pk=run_id).update(status=status, started_at=started, ended_at=ended)


def _status_of(stages: set[str]) -> Status:
    """A run fails, is cancelled or waits as one of its stages does; else it is as far as they."""
    for status in (S.CANCELLING, S.FAILED, S.CANCELLED, S.RUNNING, S.WAITING):
        if status in stages:
            return status
    if stages == {S.SUCCEEDED}:
        return S.SUCCEEDED
    if S.SUCCEEDED in stages:
        return S.RUNNING
    return S.QUEUED if S.QUEUED in stages else S.PENDING
