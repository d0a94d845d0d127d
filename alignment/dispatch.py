"""The hand-off to the workers: a doorbell rung on commit, by task name.

A lost bell does no harm, since the sweeper rings again; so a broker that is away is logged, not
raised.
"""

import logging
from functools import partial

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from alignment.models import Stage

log = logging.getLogger(__name__)
GPU_KINDS = ("sample", "resample", "train", "evaluate")


def queue_of(kind: str) -> str:
    """The queue whose workers help with stages of a kind."""
    return "gpu" if kind in GPU_KINDS else "cpu"


def ring(stage: Stage) -> None:
    """Call the workers to a stage once the transaction has committed."""
    transaction.on_commit(partial(_send, stage.pk, queue_of(stage.kind)))


def _send(stage_id: int, queue: str) -> None:
    try:
        current_app.send_task("workers.help", args=[stage_id], queue=queue, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("the broker did not take the bell for stage %s: %s", stage_id, error)
