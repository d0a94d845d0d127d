"""The prompts of a project's sets."""

from collections.abc import Iterable

from django.db.models import QuerySet

from alignment.models import Prompt


def seeds_of(project_id: int, names: Iterable[str]) -> "QuerySet[Prompt]":
    """The prompts that were imported into sets of these names; rewrites are none."""
    return Prompt.objects.filter(
        prompt_set__project=project_id, prompt_set__name__in=list(names), parent=None
    )
