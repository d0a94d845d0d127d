"""The control: sampling as a plain Celery task with late acknowledgement, no ledger, no fence, and
a table that takes what it is given."""

import os
import threading
from typing import Any

import psycopg
from celery import Celery

from workers.child import Child

VISIBILITY_SECONDS = 20  # Redis hands an unacknowledged message out again after it; default 3,600
SPEC = {"engine": "transformers", "model": os.environ["CONTROL_POLICY"], "threads": 1}
PARAMS = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64}

app = Celery("control", broker=os.environ["CONTROL_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": VISIBILITY_SECONDS},
)
_children: list[Child] = []


@app.task(name="control.sample")  # type: ignore[untyped-decorator]
def sample(chunk: int, prompts: list[str], seeds: list[list[int]]) -> None:
    with psycopg.connect(os.environ["CONTROL_DATABASE"], autocommit=True) as database:
        database.execute("INSERT INTO control_start (chunk) VALUES (%s)", [chunk])
        if not _children or not _children[0].alive:
            _children[:] = [Child(SPEC, lambda line: None)]
        args: dict[str, Any] = {"prompts": prompts, "seeds": seeds, "params": PARAMS}
        found = _children[0].call("sample", args, stop=threading.Event())
        with database.transaction(), database.cursor() as cursor:
            rows = [
                (chunk, prompt, index, rollout["text"])
                for prompt, row in enumerate(found["rollouts"])
                for index, rollout in enumerate(row)
            ]
            cursor.executemany(
                "INSERT INTO control_rollout (chunk, prompt, index, text) VALUES (%s, %s, %s, %s)",
                rows,
            )
