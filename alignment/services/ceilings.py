"""Freeze what coverage ratios are shares of."""

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from alignment.method.errors import MoraError
from alignment.models import PooledVolume, Role, Stage
from alignment.permissions import require
from alignment.queries.ceiling_arms import frozen_volume, stands_for
from alignment.queries.ceilings import pooled_arms


def freeze_pooled_volume(*, mine: Stage, by: User) -> PooledVolume:
    """Fix the volume that the finished arms which mined the same reach together.

    It stays as it is when further arms finish. Raises MoraError without an arm or a valid rollout,
    or where it is frozen already; Denied below researcher.
    """
    require(by, mine.run.project, Role.RESEARCHER)
    arms, volume = pooled_arms(mine)
    if not arms:
        raise MoraError("no arm of this round has been sampled again and judged yet")
    if volume is None:
        raise MoraError("no rollout of this round has a valid score on every dimension")
    told = "the pooled volume of this round is frozen already"
    if frozen_volume(mine):
        raise MoraError(told)
    try:
        with transaction.atomic():
            return PooledVolume.objects.create(
                mine=stands_for(mine), arms=arms, volume=volume, created_by=by
            )
    except IntegrityError as error:
        raise MoraError(told) from error
