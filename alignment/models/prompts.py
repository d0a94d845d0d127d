"""Prompts: seeds in named sets, and rewrites, which are prompts with a parent."""

from hashlib import sha256

from django.db import models
from django.db.models import Q, UniqueConstraint

from alignment.models.projects import Project


class PromptSet(models.Model):
    project = models.ForeignKey(Project, models.CASCADE, related_name="prompt_sets")
    name = models.CharField(max_length=100)
    source = models.CharField(max_length=500, blank=True, help_text="file it was imported from")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints = (UniqueConstraint(fields=("project", "name"), name="one_set_a_name"),)

    def __str__(self) -> str:
        return self.name


class Prompt(models.Model):
    prompt_set = models.ForeignKey(PromptSet, models.CASCADE, related_name="prompts")
    text = models.TextField()
    key = models.CharField(max_length=64, help_text="natural key: SHA-256, see key_of")
    external_id = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=100, blank=True, help_text="label from its source")
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="rewrites")
    strategy = models.CharField(max_length=20, blank=True)
    stage = models.ForeignKey("Stage", models.CASCADE, null=True, related_name="rewrites")
    meta = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            UniqueConstraint(
                fields=("prompt_set", "key"), condition=Q(parent=None), name="one_seed_a_text"
            ),
            UniqueConstraint(fields=("stage", "key"), name="one_rewrite_a_stage_and_text"),
        )

    def __str__(self) -> str:
        return self.text[:80]

    @staticmethod
    def key_of(text: str, parent_key: str = "") -> str:
        """A prompt's natural key, the same in every database: its text and its parent's key."""
        return sha256(f"{parent_key}\n{text}".encode()).hexdigest()
