"""Make projects with their dimensions."""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.text import slugify

from alignment.method import records
from alignment.method.errors import MoraError
from alignment.models import Dimension, Membership, Project, Role


def create_project(
    *, name: str, dimensions: Sequence[records.Dimension], owner: User | None = None
) -> Project:
    """A project with dimensions in the order given, and perhaps its first owner.

    Raises MoraError for a name that is taken or unusable and for a dimension named twice.
    """
    slug = slugify(name)[:100]
    if not slug or len(name) > 100:
        raise MoraError(f"a project's name needs letters or digits, at most 100: {name[:120]!r}")
    if Project.objects.filter(slug=slug).exists():
        raise MoraError(f"there is a project {slug!r} already; choose another name")
    if len({d.name for d in dimensions}) < len(dimensions):
        raise MoraError("a dimension is named twice")
    with transaction.atomic():
        project = Project.objects.create(name=name, slug=slug)
        Dimension.objects.bulk_create(
            Dimension(
                project=project,
                name=d.name,
                position=position,
                scale_low=d.scale_low,
                scale_high=d.scale_high,
                bar=d.bar,
                higher_is_better=d.higher_is_better,
            )
            for position, d in enumerate(dimensions)
        )
        if owner is not None:
            Membership.objects.create(project=project, user=owner, role=Role.OWNER)
    return project
