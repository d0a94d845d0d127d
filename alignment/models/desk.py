"""What a review desk has beside its items: guidelines, invitations, and decisions in bulk."""

from hashlib import sha256

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import UniqueConstraint

from alignment.models.projects import Project, Role
from alignment.models.runs import Stage


class Guideline(models.Model):
    """One version of what reviewers go by; the highest is in force. Append-only."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="guidelines")
    version = models.PositiveIntegerField()
    text = models.TextField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("project_id", "-version")
        constraints = (
            UniqueConstraint(fields=("project", "version"), name="one_guideline_a_version"),
        )

    def __str__(self) -> str:
        return f"guideline {self.version}"


class Invitation(models.Model):
    """A link that makes who follows it a member. Its token is kept as a hash."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=20, choices=Role)
    sha256 = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    most_uses = models.PositiveIntegerField(default=1)
    uses = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True)
    accepted_by = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        related_name="+",
        help_text="who became a member, or more of one, by it",
    )

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.role} of {self.project}"

    @staticmethod
    def hash_of(token: str) -> str:
        return sha256(token.encode()).hexdigest()


class BulkDecision(models.Model):
    """One decision for many rewrites: made by a preview, which fixes `items`; then applied, then
    perhaps undone."""

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="bulk_decisions")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    filter = models.JSONField()
    decision = models.CharField(max_length=20)
    reason = models.CharField(max_length=20, blank=True)
    words = models.TextField(blank=True)
    token = models.UUIDField(unique=True)
    items = ArrayField(models.BigIntegerField(), help_text="ids of the rewrites previewed")
    applied = models.PositiveIntegerField(default=0, help_text="rewrites decided by it")
    created_at = models.DateTimeField(auto_now_add=True)
    applied_at = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.decision} {len(self.items)} rewrites"
