"""Projects, who may do what in them, their dimensions and judges, and the policies they hold."""

from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, UniqueConstraint

from alignment.method import records


class Project(models.Model):
    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=100, unique=True)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership")

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """From least to most; each role may do what the ones before it may."""

    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    ADJUDICATOR = "adjudicator"
    RESEARCHER = "researcher"
    OWNER = "owner"


class Membership(models.Model):
    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)

    class Meta:
        constraints = (UniqueConstraint(fields=("project", "user"), name="one_role_a_member"),)

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


class Dimension(models.Model):
    """One reward axis: its declared scale, and its bar in raw units."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="dimensions")
    name = models.CharField(max_length=100)
    position = models.PositiveIntegerField()
    scale_low = models.FloatField()
    scale_high = models.FloatField()
    higher_is_better = models.BooleanField(default=True)
    bar = models.FloatField()

    class Meta:
        ordering = ("project_id", "position")
        constraints = (
            UniqueConstraint(fields=("project", "name"), name="one_dimension_a_name"),
            models.CheckConstraint(
                condition=Q(scale_low__lt=models.F("scale_high")), name="scale_low_below_high"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        try:
            _ = self.record
        except TypeError:  # a field is empty, which its own check has told
            return
        except ValueError as error:
            raise ValidationError(str(error)) from error

    @property
    def record(self) -> records.Dimension:
        """The dimension as the method knows it; raises ValueError for a bar that cannot be."""
        return records.Dimension(
            name=self.name,
            scale_low=self.scale_low,
            scale_high=self.scale_high,
            bar=self.bar,
            higher_is_better=self.higher_is_better,
        )


class Judge(models.Model):
    """What produces scores on one dimension: an engine of the workers and a rule it knows."""

    class Engine(models.TextChoices):
        RULES = "rules"
        IMPORTED = "imported"

    class Use(models.TextChoices):
        PAIRING = "pairing", "mining and pairing"
        EVALUATION = "evaluation"

    project = models.ForeignKey(Project, models.CASCADE, related_name="judges")
    dimension = models.ForeignKey(Dimension, models.CASCADE, related_name="judges")
    name = models.CharField(max_length=100)
    engine = models.CharField(max_length=20, choices=Engine)
    rule = models.CharField(max_length=100, blank=True)
    prompt_rule = models.CharField(
        max_length=100, blank=True, help_text="rule that scores the harm of a prompt's own text"
    )
    use = models.CharField(max_length=20, choices=Use, default=Use.PAIRING)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ("project_id", "dimension__position", "name")
        constraints = (UniqueConstraint(fields=("project", "name"), name="one_judge_a_name"),)

    def __str__(self) -> str:
        return self.name


class Policy(models.Model):
    """A model that answers prompts: a start policy, one trained by a stage, or a name of
    completions made elsewhere (no folder)."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="policies")
    name = models.CharField(max_length=200)
    folder = models.CharField(max_length=500, blank=True)
    adapter = models.CharField(max_length=500, blank=True)
    sha256 = models.CharField(max_length=64, blank=True, help_text="of the weights")
    adapter_sha256 = models.CharField(max_length=64, blank=True)
    parent = models.ForeignKey("self", models.PROTECT, null=True, related_name="children")
    stage = models.OneToOneField("Stage", models.CASCADE, null=True, related_name="policy")
    facts = models.JSONField(default=dict, help_text="gates, collapse gauge and counts of training")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "policies"
        constraints = (UniqueConstraint(fields=("project", "name"), name="one_policy_a_name"),)

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """The model's folder; a relative one lies under the artifacts."""
        return Path(settings.ARTIFACTS) / self.folder
