"""Reviews: which rewrites a review stage lists, who holds which, and what people said of each.

Reviews are append-only: one taken back is withdrawn, never changed. What an item's state is
follows from its standing reviews; `alignment.reviewing` works it out.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, UniqueConstraint

from alignment.models.desk import BulkDecision, Guideline
from alignment.models.projects import Project
from alignment.models.prompts import Prompt
from alignment.models.results import Rollout
from alignment.models.runs import Stage

STANDING = Q(withdrawn_at=None)


class Reviewer(models.Model):
    """Who reviews in a project: a member, or the name (no login) of one whose reviews were
    imported."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="reviewers")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="reviewers"
    )
    name = models.CharField(max_length=150)

    class Meta:
        constraints = (
            UniqueConstraint(fields=("project", "user"), name="one_reviewer_a_member"),
            UniqueConstraint(
                fields=("project", "name"), condition=Q(user=None), name="one_imported_reviewer"
            ),
        )

    def __str__(self) -> str:
        return self.name if self.user_id else f"{self.name} (imported)"


class ReviewItem(models.Model):
    """A rewrite in a review stage. `outcome` is the prompt that goes on: the rewrite itself, or
    the edited one; a rejected rewrite has none.

    A lease is `held_by`, `lease` (its token) and its times; it holds until `lease_expires_at`.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        DISPUTED = "disputed"
        APPROVED = "approved"
        EDITED = "edited"
        REJECTED = "rejected"

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="review_items")
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="review_items")
    needs_person = models.BooleanField()
    needed = models.PositiveSmallIntegerField(default=1, help_text="reviews it takes to decide it")
    state = models.CharField(max_length=20, choices=State, default=State.PENDING)
    outcome = models.ForeignKey(Prompt, models.CASCADE, null=True, related_name="outcome_of")
    decided_at = models.DateTimeField(null=True)
    seen_by = ArrayField(
        models.BigIntegerField(), default=list, help_text="reviewers with a standing review, by id"
    )
    assigned_to = models.ForeignKey(
        Reviewer, models.SET_NULL, null=True, related_name="assigned", db_index=False
    )
    held_by = models.ForeignKey(
        Reviewer, models.SET_NULL, null=True, related_name="held", db_index=False
    )
    lease = models.UUIDField(null=True, help_text="token of its latest lease")
    leased_at = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            UniqueConstraint(fields=("stage", "prompt"), name="one_item_a_rewrite"),
            UniqueConstraint(
                fields=("held_by",), condition=Q(held_by__isnull=False), name="one_lease_a_person"
            ),
        )
        indexes = (
            models.Index(fields=("stage", "state", "id"), name="review_item_state"),
            # The queue: items alike in who has seen them lie together, so that those a person
            # has seen are passed over a group at a time.
            models.Index(
                fields=("stage", "seen_by", "id"),
                condition=Q(state="pending", assigned_to=None),
                name="review_queue",
            ),
            models.Index(
                fields=("stage", "seen_by", "id"),
                condition=Q(state="pending", assigned_to__isnull=False),
                name="review_queue_of_others",
            ),
            models.Index(
                fields=("assigned_to", "id"),
                condition=Q(state="pending", assigned_to__isnull=False),
                name="review_assigned",
            ),
        )

    def __str__(self) -> str:
        return f"{self.state} rewrite {self.prompt_id}"


class Review(models.Model):
    """One reviewer's word on a rewrite. A skip or a flag is one too; `adjudicates` marks the word
    that settles the rewrite whatever the others said."""

    class Decision(models.TextChoices):
        APPROVE = "approve"
        EDIT = "edit"
        REJECT = "reject"
        SKIP = "skip"
        FLAG = "flag"

    class Reason(models.TextChoices):
        INTENT_LOST = "intent_lost", "intent lost"
        NOT_NATURAL = "not_natural", "not natural"
        ADDS_HARM = "adds_harm", "adds harm"
        WRONG_DIMENSION = "wrong_dimension", "wrong dimension"
        OTHER = "other", "other"

    class Question(models.TextChoices):
        """What a review may rate, from 1 to 5."""

        INTENT_KEPT = "intent_kept", "intent kept"
        NATURAL = "natural", "natural"
        DIMENSION_ADDED = "dimension_added", "dimension added"

    item = models.ForeignKey(ReviewItem, models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(Reviewer, models.PROTECT, related_name="reviews", db_index=False)
    decision = models.CharField(max_length=20, choices=Decision)
    edited_text = models.TextField(blank=True)
    distance = models.PositiveIntegerField(
        null=True, help_text="words put in, taken out or changed by the edit"
    )
    reason = models.CharField(max_length=20, choices=Reason, blank=True)
    words = models.TextField(blank=True, help_text="what the reviewer wrote about it")
    ratings = models.JSONField(default=dict, help_text="1 to 5 by question")
    adjudicates = models.BooleanField(default=False)
    guideline = models.ForeignKey(Guideline, models.PROTECT, null=True, related_name="reviews")
    lease = models.UUIDField(null=True, help_text="token of the lease it was submitted under")
    leased_at = models.DateTimeField(null=True)
    bulk = models.ForeignKey(BulkDecision, models.PROTECT, null=True, related_name="reviews")
    carried_from = models.ForeignKey("self", models.SET_NULL, null=True, db_index=False)
    source = models.CharField(max_length=500, blank=True, help_text="file it was imported from")
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            UniqueConstraint(
                fields=("item", "reviewer", "adjudicates"),
                condition=STANDING,
                name="one_standing_review_a_person",
            ),
            UniqueConstraint(
                fields=("item",),
                condition=STANDING & Q(adjudicates=True),
                name="one_standing_adjudication",
            ),
            UniqueConstraint(fields=("lease",), name="one_review_a_lease"),
        )
        indexes = (
            models.Index(
                fields=("reviewer", "-created_at"),
                condition=STANDING & Q(bulk=None),
                name="review_by_person",
            ),
        )

    def __str__(self) -> str:
        return f"{self.decision} by {self.reviewer}"


class ReviewDraft(models.Model):
    """What a person has written about a rewrite and not yet submitted."""

    item = models.ForeignKey(ReviewItem, models.CASCADE, related_name="drafts")
    reviewer = models.ForeignKey(Reviewer, models.CASCADE, related_name="drafts")
    decision = models.CharField(max_length=20, choices=Review.Decision, blank=True)
    text = models.TextField(blank=True)
    reason = models.CharField(max_length=20, choices=Review.Reason, blank=True)
    words = models.TextField(blank=True)
    ratings = models.JSONField(default=dict)
    saved_at = models.DateTimeField()

    class Meta:
        constraints = (UniqueConstraint(fields=("item", "reviewer"), name="one_draft_a_person"),)

    def __str__(self) -> str:
        return f"draft of {self.reviewer}"


class ReviewTally(models.Model):
    """How many standing reviews a person has in a stage, kept with every review so that no page
    has to count. `open` are those on rewrites that still take reviews."""

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="tallies")
    reviewer = models.ForeignKey(Reviewer, models.CASCADE, related_name="tallies")
    approve = models.IntegerField(default=0)
    edit = models.IntegerField(default=0)
    reject = models.IntegerField(default=0)
    skip = models.IntegerField(default=0)
    flag = models.IntegerField(default=0)
    adjudicated = models.IntegerField(default=0)
    open = models.IntegerField(default=0)
    last_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (UniqueConstraint(fields=("stage", "reviewer"), name="one_tally_a_person"),)

    def __str__(self) -> str:
        return f"{self.reviewer} in {self.stage}"

    @property
    def given(self) -> int:
        """Reviews that decide: approved, edited and rejected."""
        return self.approve + self.edit + self.reject


class RolloutRating(models.Model):
    """A person's nominal value for a completion on a question, made elsewhere and imported."""

    rollout = models.ForeignKey(Rollout, models.CASCADE, related_name="ratings")
    reviewer = models.ForeignKey(Reviewer, models.PROTECT, related_name="rollout_ratings")
    question = models.CharField(max_length=100)
    value = models.CharField(max_length=200)
    source = models.CharField(max_length=500, blank=True, help_text="file it was imported from")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            UniqueConstraint(
                fields=("rollout", "question", "reviewer"), name="one_rating_a_person"
            ),
        )

    def __str__(self) -> str:
        return f"{self.question}: {self.value}"
