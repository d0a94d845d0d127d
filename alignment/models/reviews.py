"""Reviews: which rewrites a review stage lists, and what people decided on each."""

from django.conf import settings
from django.db import models
from django.db.models import UniqueConstraint

from alignment.models.prompts import Prompt
from alignment.models.runs import Stage


class ReviewItem(models.Model):
    """A rewrite in a review stage. `outcome` is the prompt that goes on: the rewrite itself, or
    the edited one; a rejected rewrite has none."""

    class State(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        EDITED = "edited"
        REJECTED = "rejected"

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="review_items")
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="review_items")
    needs_person = models.BooleanField()
    state = models.CharField(max_length=20, choices=State, default=State.PENDING)
    outcome = models.ForeignKey(Prompt, models.CASCADE, null=True, related_name="outcome_of")

    class Meta:
        ordering = ("id",)
        constraints = (UniqueConstraint(fields=("stage", "prompt"), name="one_item_a_rewrite"),)
        indexes = (models.Index(fields=("stage", "state")),)

    def __str__(self) -> str:
        return f"{self.state} rewrite {self.prompt_id}"


class Review(models.Model):
    class Decision(models.TextChoices):
        APPROVE = "approve"
        EDIT = "edit"
        REJECT = "reject"

    item = models.ForeignKey(ReviewItem, models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="reviews")
    decision = models.CharField(max_length=20, choices=Decision)
    edited_text = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (UniqueConstraint(fields=("item", "reviewer"), name="one_review_a_person"),)

    def __str__(self) -> str:
        return f"{self.decision} by {self.reviewer}"
