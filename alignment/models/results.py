"""What stages find: rollouts, scores, verdicts, rewrites tried, pairs, training metrics and
evaluations, each with its provenance. Averages, fronts and volumes are computed, not stored."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import UniqueConstraint

from alignment.models.judges import Judge
from alignment.models.projects import Policy, Project
from alignment.models.prompts import Prompt
from alignment.models.runs import Stage


class Sampling(models.Model):
    """One sampling of a policy: what was asked of which engine. Its rollouts are its rows."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="samplings")
    stage = models.OneToOneField(Stage, models.CASCADE, null=True, related_name="sampling")
    policy = models.ForeignKey(Policy, models.PROTECT, related_name="samplings")
    policy_sha256 = models.CharField(max_length=64, blank=True)
    params = models.JSONField(default=dict)
    engine = models.CharField(max_length=40)
    engine_version = models.CharField(max_length=300, blank=True)
    usage = models.JSONField(default=dict, help_text="requests, retries and tokens at an endpoint")
    source = models.CharField(max_length=500, blank=True, help_text="file it was imported from")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.policy} by {self.engine}"


class Rollout(models.Model):
    sampling = models.ForeignKey(Sampling, models.CASCADE, related_name="rollouts")
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="rollouts")
    index = models.PositiveIntegerField(help_text="0 to N - 1 within its prompt")
    text = models.TextField()
    tokens = models.PositiveIntegerField(null=True)
    finish_reason = models.CharField(max_length=20)
    seed = models.BigIntegerField(null=True)
    refused = models.BooleanField(
        null=True, help_text="the wording declines, by the rule `refusal`"
    )

    class Meta:
        ordering = ("id",)
        constraints = (
            UniqueConstraint(fields=("sampling", "prompt", "index"), name="one_rollout_an_index"),
        )

    def __str__(self) -> str:
        return f"rollout {self.index} of prompt {self.prompt_id}"


class Score(models.Model):
    """A judge's number for a rollout. No raw value means no valid score, for the reason given."""

    rollout = models.ForeignKey(Rollout, models.CASCADE, related_name="scores")
    judge = models.ForeignKey(Judge, models.PROTECT, related_name="scores")
    judge_version = models.PositiveIntegerField()
    raw = models.FloatField(null=True)
    reward = models.FloatField(null=True, help_text="raw on the dimension's scale, 0 to 1")
    reply = models.TextField(blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = (
            UniqueConstraint(
                fields=("rollout", "judge", "judge_version"), name="one_score_a_judge"
            ),
        )

    def __str__(self) -> str:
        return f"{self.judge_id}: {self.raw}"


class Preference(models.Model):
    """A judge's choice between two rollouts of one prompt, shown in this order. No outcome means
    that its reply could not be read, for the reason given."""

    first = models.ForeignKey(Rollout, models.CASCADE, related_name="preferred_first")
    second = models.ForeignKey(Rollout, models.CASCADE, related_name="preferred_second")
    judge = models.ForeignKey(Judge, models.PROTECT, related_name="preferences")
    judge_version = models.PositiveIntegerField()
    outcome = models.FloatField(null=True, help_text="1 the first is better, 0.5 a tie, 0 worse")
    reply = models.TextField(blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = (
            UniqueConstraint(
                fields=("first", "second", "judge", "judge_version"), name="one_preference_an_order"
            ),
        )

    def __str__(self) -> str:
        return f"{self.judge_id}: {self.outcome}"


class Verdict(models.Model):
    """What mining says of a prompt, with the counts and ceiling numbers it was taken from."""

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="verdicts")
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="verdicts")
    verdict = models.CharField(max_length=20)
    mined = models.BooleanField()
    attained = ArrayField(models.CharField(max_length=100))
    missing = ArrayField(models.CharField(max_length=100))
    counts = models.JSONField()
    ceiling = models.JSONField()

    class Meta:
        constraints = (UniqueConstraint(fields=("stage", "prompt"), name="one_verdict_a_prompt"),)

    def __str__(self) -> str:
        return f"{self.verdict} of prompt {self.prompt_id}"


class RewriteAttempt(models.Model):
    """One reply of the rewriter, kept whether or not it was accepted."""

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="attempts")
    parent = models.ForeignKey(Prompt, models.CASCADE, related_name="attempts")
    index = models.PositiveIntegerField()
    strategy = models.CharField(
        max_length=20, blank=True, help_text="what was asked for; to elaborate, fusing comes first"
    )
    reply = models.TextField()
    text = models.TextField(blank=True)
    checks = models.JSONField(help_text="name, passed and detail of each acceptance check")
    accepted = models.BooleanField()
    harm_change = models.FloatField(null=True, help_text="prompt harm after minus before")

    class Meta:
        constraints = (
            UniqueConstraint(fields=("stage", "parent", "index"), name="one_attempt_an_index"),
        )

    def __str__(self) -> str:
        return f"attempt {self.index} at prompt {self.parent_id}"


class Pair(models.Model):
    stage = models.ForeignKey(Stage, models.CASCADE, related_name="pairs")
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="pairs")
    chosen = models.ForeignKey(Rollout, models.CASCADE, related_name="chosen_in")
    rejected = models.ForeignKey(Rollout, models.CASCADE, related_name="rejected_in")
    margin = models.FloatField(help_text="weighted reward of chosen minus rejected")
    gaps = models.JSONField(help_text="reward of chosen minus rejected, per dimension")

    class Meta:
        ordering = ("id",)
        constraints = (UniqueConstraint(fields=("stage", "chosen", "rejected"), name="one_pair"),)

    def __str__(self) -> str:
        return f"pair of prompt {self.prompt_id}, margin {self.margin:.2f}"


class TrainingStep(models.Model):
    stage = models.ForeignKey(Stage, models.CASCADE, related_name="training_steps")
    step = models.PositiveIntegerField()
    metrics = models.JSONField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("stage_id", "step")
        constraints = (UniqueConstraint(fields=("stage", "step"), name="one_row_a_step"),)

    def __str__(self) -> str:
        return f"step {self.step}"


class Evaluation(models.Model):
    """Rollouts of a policy on held-out prompts, judged by the judges named here. Its figures are
    computed from their scores."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="evaluations")
    stage = models.OneToOneField(Stage, models.CASCADE, null=True, related_name="evaluation")
    policy = models.ForeignKey(Policy, models.PROTECT, related_name="evaluations")
    sampling = models.ForeignKey(Sampling, models.CASCADE, related_name="evaluations")
    label = models.CharField(max_length=200)
    judges = models.ManyToManyField(Judge, related_name="evaluations")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.label


class PooledVolume(models.Model):
    """The volume that all arms' rollouts of a round's prompts reach together, frozen, so that
    coverage ratios stay comparable when further arms finish."""

    mine = models.OneToOneField(
        Stage,
        models.CASCADE,
        related_name="pooled",
        help_text="the stage of mining that arms share",
    )
    arms = models.JSONField(help_text="names of the runs that were pooled")
    volume = models.FloatField(help_text="against 0, of rewards from 0 to 1")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"pooled volume of {len(self.arms)} arms"
