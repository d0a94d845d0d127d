"""Why a live run makes no progress, as far as what is around it tells."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models.functions import Now

from alignment.models import Run, Stage, Status, Worker
from mora_web.embedded import reserve

PATIENCE = timedelta(seconds=15)
DISK = (
    "The disk of the database is full. Nothing can be written until some space is freed; then work"
    " goes on, or a retry takes it up."
)


def hold_ups(run: Run) -> list[str]:
    """Sentences on what holds the run up; none where nothing is known to."""
    at_work = run.stages.filter(status__in=(Status.QUEUED, Status.RUNNING)).annotate(now=Now())
    stage = at_work.order_by("position").first()
    if stage:
        return held_up_by(stage, stage.now, last_heartbeat(stage))
    waiting = run.stages.filter(status=Status.PENDING).exclude(reason="")
    return [*held_up_by(None), *(f"It {other.reason}." for other in waiting)]


def held_up_by(
    stage: Stage | None, now: datetime | None = None, heartbeat: datetime | None = None
) -> list[str]:
    """The same for the stage that is at work, by its queue's last heartbeat."""
    found = [DISK] if settings.RESERVE is not None and reserve.is_full(settings.RESERVE) else []
    if stage is None or now is None or stage.status not in (Status.QUEUED, Status.RUNNING):
        return found
    latest = max(filter(None, (stage.queued_at, heartbeat)), default=now)
    if now - latest > PATIENCE:
        found.append(
            f"No worker of the queue {stage.queue} is alive. The run goes on by itself when one is;"
            " everything finished is kept."
        )
    return found


def last_heartbeat(stage: Stage | None) -> datetime | None:
    """When a worker that helps with the stage last said that it lives."""
    if stage is None or stage.kind == "review":
        return None
    helpers = Worker.objects.filter(queue__contains=stage.queue).order_by("-heartbeat_at")
    return helpers.values_list("heartbeat_at", flat=True).first()
