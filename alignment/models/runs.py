"""Runs, their stages, the chunks that workers claim, and the event log that all views follow."""

from django.conf import settings
from django.db import models
from django.db.models import UniqueConstraint

from alignment.models.projects import Project


class Status(models.TextChoices):
    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class Run(models.Model):
    project = models.ForeignKey(Project, models.CASCADE, related_name="runs")
    name = models.CharField(max_length=100)
    config = models.JSONField(help_text="a RunConfig, whole")
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    seq = models.BigIntegerField(default=0, help_text="number of its latest event")
    rerun_from = models.ForeignKey(
        "Stage",
        models.SET_NULL,
        null=True,
        related_name="reruns",
        help_text="the stage of an earlier run that this one goes on from",
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (UniqueConstraint(fields=("project", "name"), name="one_run_a_name"),)

    def __str__(self) -> str:
        return self.name


class Stage(models.Model):
    """One kind of work of a run. `source` is where its rows are: itself, or the finished stage
    whose results it reuses."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="stages")
    position = models.PositiveIntegerField()
    round = models.PositiveIntegerField(help_text="0 is the start policy")
    kind = models.CharField(max_length=20)
    config = models.JSONField(help_text="what of the run's configuration decides its result")
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    fingerprint = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField(
        default=1, help_text="of its kind's code, when it was queued"
    )
    queue = models.CharField(max_length=10, blank=True, help_text="whose workers help; once queued")
    reused_from = models.ForeignKey("self", models.PROTECT, null=True, related_name="reused_by")
    reason = models.TextField(blank=True, help_text="why it was skipped, is empty, or failed")
    traceback = models.TextField(blank=True)
    empty = models.BooleanField(default=False, help_text="found nothing for the stages after it")
    facts = models.JSONField(default=dict, help_text="counts, yields, engine and version")
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    disputed = models.PositiveIntegerField(default=0, help_text="rewrites for an adjudicator")
    unit = models.CharField(max_length=20, blank=True)
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    closes_at = models.DateTimeField(null=True, help_text="when a complete review ends")

    class Meta:
        ordering = ("run_id", "position")
        constraints = (UniqueConstraint(fields=("run", "position"), name="one_stage_a_position"),)
        indexes = (models.Index(fields=("fingerprint",)), models.Index(fields=("status",)))

    def __str__(self) -> str:
        return f"{self.run} / round {self.round} {self.kind}"

    @property
    def source(self) -> "Stage":
        return self.reused_from or self

    @property
    def start_evaluation(self) -> "Stage":
        """The evaluation of its run's start policy, whichever run has the rows."""
        starts = Stage.objects.select_related("reused_from")
        return starts.get(run=self.run_id, round=0, kind="evaluate").source


class Chunk(models.Model):
    """A claimable part of a stage. Parts of a stage are done in order (0 before 1)."""

    class State(models.TextChoices):
        OPEN = "open"
        CLAIMED = "claimed"
        DONE = "done"
        FAILED = "failed"

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="chunks")
    part = models.PositiveSmallIntegerField(default=0)
    index = models.PositiveIntegerField()
    items = models.JSONField(help_text="ids of the prompts it works on, in order")
    size = models.PositiveIntegerField(help_text="what it adds to the stage's done when it closes")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    fence = models.BigIntegerField(default=0, help_text="number of its latest claim")
    owner = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="times its child died")
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("stage_id", "part", "index")
        constraints = (UniqueConstraint(fields=("stage", "part", "index"), name="one_chunk"),)
        indexes = (
            models.Index(
                fields=("stage", "part", "index"),
                name="chunk_unfinished",
                condition=models.Q(state__in=("open", "claimed")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.stage} chunk {self.part}.{self.index}"


class Event(models.Model):
    """A recorded change of a run. `seq` counts from 1 per run without gaps."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="events")
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=40)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("run_id", "seq")
        constraints = (UniqueConstraint(fields=("run", "seq"), name="one_event_a_seq"),)

    def __str__(self) -> str:
        return f"{self.run} event {self.seq} {self.kind}"


class LogLine(models.Model):
    """A line that a stage's child wrote to its standard error."""

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="log_lines")
    at = models.DateTimeField(auto_now_add=True)
    text = models.TextField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.text


class Worker(models.Model):
    """A worker process that lives while its heartbeat is fresh."""

    name = models.CharField(max_length=200, unique=True)
    queue = models.CharField(max_length=20)
    slots = models.PositiveIntegerField()
    busy = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
