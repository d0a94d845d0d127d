"""Projects, who may do what in them, their dimensions, and the policies they hold."""

from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, UniqueConstraint

from alignment.method import records
from alignment.model_folders import likeness


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


class Policy(models.Model):
    """A model that answers prompts: a start policy in a folder or at an endpoint, one trained by a
    stage, or a name of completions made elsewhere (neither folder nor endpoint)."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="policies")
    name = models.CharField(max_length=200)
    folder = models.CharField(max_length=500, blank=True)
    endpoint = models.CharField(
        max_length=100, blank=True, help_text="a name of MORA_ENDPOINTS; the policy answers there"
    )
    served_as = models.CharField(
        max_length=200, blank=True, help_text="name of the model at the endpoint"
    )
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

    def clean(self) -> None:
        if bool(self.endpoint) != bool(self.served_as):
            raise ValidationError("an endpoint and the name of the model there go together")
        if self.endpoint and self.endpoint not in settings.ENDPOINTS:
            raise ValidationError(
                {"endpoint": f"there is no endpoint {self.endpoint!r} in MORA_ENDPOINTS"}
            )

    @property
    def path(self) -> Path:
        """The model's folder; a relative one lies under the artifacts."""
        return Path(settings.ARTIFACTS) / self.folder

    @property
    def answers(self) -> bool:
        """Whether it can be sampled."""
        return bool(self.folder or self.endpoint)

    @property
    def identity(self) -> str:
        """What tells its answers from another policy's: its weights, or where it is served."""
        if self.endpoint:
            return f"{self.endpoint} {self.served_as}"
        return likeness(self.path) if self.folder else self.sha256
