"""Judge the texts of a trial, which belong to no run: no chunks, no lease, one attempt.

Somebody waits for it on a page, so it goes before the next chunk of whatever runs are at work.
"""

import logging
import traceback
from typing import Any

from celery import shared_task
from django.db import connection

from alignment.method.errors import MoraError
from alignment.models import JudgeTrial
from alignment.services import judges
from workers import judging, slots, store
from workers.child import ChildDied, Stopped, defect

log = logging.getLogger(__name__)


@shared_task(name="workers.try_judge", ignore_result=True)  # type: ignore[untyped-decorator]
def try_judge(trial_id: int) -> None:
    """Run a waiting trial; whatever happens, it ends and says how."""
    slot = slots.mine()
    slot.busy = True
    try:
        if trial := judges.begin_trial(trial_id):
            _run(trial, slot)
    finally:
        slot.busy = False
        connection.close()


def work_off(slot: slots.Slot, queue: str) -> None:
    """Run the trials that wait for a worker of the queue."""
    while not slots.stopping.is_set() and (waiting := judges.next_trial(queue)):
        if trial := judges.begin_trial(waiting.pk):
            _run(trial, slot)


def _run(trial: JudgeTrial, slot: slots.Slot) -> None:
    def ask(spec: dict[str, Any], name: str, args: dict[str, Any]) -> Any:
        return slot.child(spec).call(name, args, stop=slots.stopping)

    slot.stage_id = None
    try:
        results = [_judged(ask, trial, repeat) for repeat in range(trial.repeats)]
    except (MoraError, ChildDied) as error:
        judges.end_trial(trial, error=store.storable(str(error)))
    except Stopped:
        judges.end_trial(trial, error="the worker was stopped; try again")
    except Exception as error:
        log.error("%s failed: %s", trial, traceback.format_exc())
        judges.end_trial(trial, error=store.storable(defect(error)))
    else:
        judges.end_trial(trial, results=results)


def _judged(ask: judging.Ask, trial: JudgeTrial, repeat: int) -> list[dict[str, Any]]:
    """One judgement per item, with its texts as the database can hold them."""
    by, items = trial.judge, [tuple(item) for item in trial.items]
    if len(items[0]) == 3:
        found = judging.compare(ask, by, items, repeat).judgements
    else:
        prompts, completions = zip(*items, strict=True)
        found = judging.judge(ask, by, prompts, completions, repeat).judgements
    texts = ("reply", "reason")
    return [{**j, **{name: store.storable(j[name]) for name in texts}} for j in found]
