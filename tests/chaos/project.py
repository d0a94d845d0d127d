"""Makes and reports a run in the database of a console that a test supervises, as a process of
its own: `python -m tests.chaos.project start SLUG` and `... report SLUG`, which prints JSON."""

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mora_web.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402 (needs the loaded apps)
from django.db.models import Count  # noqa: E402

from alignment.models import Chunk, Policy, Rollout, Run, Score, TrainingStep  # noqa: E402
from alignment.services import runs  # noqa: E402
from tests.builders import add_prompts, make_project, make_run  # noqa: E402
from tests.outcome import outcome_of  # noqa: E402
from workers.sandbox import world  # noqa: E402

SAMPLE = {"n": 16, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64, "chunk_prompts": 4}
TRAIN = {"learning_rate": 1e-3, "epochs": 4, "checkpoint_steps": 2, "batch_pairs": 4}


def start(slug: str) -> dict[str, object]:
    by, _ = User.objects.get_or_create(username="ada", is_superuser=True)
    project = make_project(slug)
    folder, digest = os.environ["SANDBOX_POLICY"].split(" ")
    Policy.objects.create(project=project, name="start", folder=folder, sha256=digest)
    for name, seed, safety in (("mixed", 21, 24), ("held-out", 22, 8)):
        counts: dict[world.Kind, int] = {"helpful": 4, "safety": safety, "mixed": 4}
        add_prompts(project, name, [p.text for p in world.prompts(seed, counts)])
    run = make_run(project, by, sample=SAMPLE, train=TRAIN)
    runs.start_run(run=run, by=by)
    return {"run": run.pk}


def report(slug: str) -> dict[str, object]:
    run = Run.objects.get(project__slug=slug)
    rollouts = Rollout.objects.filter(sampling__stage__run=run)
    keys = rollouts.values("sampling", "prompt", "index").annotate(n=Count("pk"))
    steps = TrainingStep.objects.filter(stage__run=run).order_by("step")
    return {
        "status": run.status,
        "reasons": [s.reason for s in run.stages.all() if s.reason],
        "outcome": outcome_of(run),
        "rollouts": rollouts.count(),
        "doubled": keys.filter(n__gt=1).count(),
        "scores": Score.objects.filter(rollout__in=rollouts).count(),
        "unfinished": Chunk.objects.filter(stage__run=run).exclude(state="done").count(),
        "claims": sum(Chunk.objects.filter(stage__run=run).values_list("fence", flat=True)),
        "chunks": Chunk.objects.filter(stage__run=run).count(),
        "steps": list(steps.values_list("step", flat=True)),
        "events": list(run.events.values_list("seq", flat=True)) == list(range(1, run.seq + 1)),
    }


if __name__ == "__main__":
    print(json.dumps({"start": start, "report": report}[sys.argv[1]](sys.argv[2])))
