"""The hand-off to the workers: a doorbell rung on commit, by task name.

A lost bell does no harm, since workers look for work themselves; so a broker that is away is
logged, not raised.
"""

import logging
from functools import partial

from celery import current_app
from django.db import transaction

from alignment.method.plan import judges_named
from alignment.models import JudgeTrial, Stage

log = logging.getLogger(__name__)
OF_THE_POLICY = ("sample", "resample", "train", "evaluate")


def queue_of(stage: Stage) -> str:
    """The queue whose workers help with a stage: a local model wants a GPU, whatever it is for."""
    return "gpu" if _loads_policy(stage) or _asks_local_model(stage) else "cpu"


def _loads_policy(stage: Stage) -> bool:
    """Whether the run's policy is loaded here, rather than asked at an endpoint."""
    policies = stage.run.project.policies.filter(name=stage.run.config["policy"])
    return stage.kind in OF_THE_POLICY and not policies.exclude(endpoint="").exists()


def _asks_local_model(stage: Stage) -> bool:
    """Whether a judge or the rewriter that the stage's settings name loads a model here."""
    project, config = stage.run.project, stage.config
    judges = project.judges.filter(name__in=judges_named(config))
    rewriters = project.rewriters.filter(name=config.get("rewrite", {}).get("rewriter"))
    return any(j.model_folder for j in judges) or any(r.model_folder for r in rewriters)


def ring(stage: Stage) -> None:
    """Call the workers to a queued stage once the transaction has committed."""
    transaction.on_commit(partial(_send, "workers.help", stage.pk, stage.queue))


def ring_for_trial(trial: JudgeTrial) -> None:
    """Call a worker to a judge's trial once the transaction has committed."""
    transaction.on_commit(partial(_send, "workers.try_judge", trial.pk, queue_of_trial(trial)))


def queue_of_trial(trial: JudgeTrial) -> str:
    return "gpu" if trial.judge.model_folder else "cpu"


def _send(task: str, pk: int, queue: str) -> None:
    try:
        current_app.send_task(task, args=[pk], queue=queue, retry=False)
    except Exception as error:  # each broker's library has errors of its own
        log.warning("the broker did not take the bell for %s %s: %s", task, pk, error)
