"""Train: DPO with LoRA from the round's policy, which is also the reference.

One chunk. Every attempt at it has a work folder of its own, for a trainer whose worker was paused
past its lease may still be writing to another; it goes on from a copy of the last checkpoint.
Metrics are rows as they come, each under the claim's fence.
"""

import shutil
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from alignment import lifecycle
from alignment.method.seeds import seed_of
from alignment.method.selection import share_size
from alignment.models import Pair, Policy, Stage, TrainingStep
from alignment.queries.prompts import seeds_of
from workers import claims, specs
from workers.engines import checkpoints
from workers.stages import margins
from workers.stages.job import ChunkPlan, Job, Outcome, Write, before, policy_before

PROBES = 16


def plan(stage: Stage) -> list[ChunkPlan]:
    if not policy_before(stage).folder:
        return []
    return [ChunkPlan(index=0, items=[], size=steps_of(stage))]


def steps_of(stage: Stage) -> int:
    """Optimizer steps that the stage will take."""
    train = stage.config["train"]
    if train["steps"]:
        return int(train["steps"])
    pairs = share_size(before(stage, "pair").source.pairs.count(), train["pairs_share"])
    per_epoch = -(-pairs // train["batch_pairs"])
    return int(per_epoch * train["epochs"])


def work(job: Job) -> Write:
    stage = job.stage
    start = policy_before(stage)
    attempts = Path("runs") / str(stage.run_id) / f"stage-{stage.position}"
    if not stage.training_steps.exists():  # what lies there is not this stage's
        shutil.rmtree(settings.ARTIFACTS / attempts, ignore_errors=True)
    folder = attempts / f"attempt-{job.claim.fence}"
    checkpoints.inherit(settings.ARTIFACTS / attempts, settings.ARTIFACTS / folder)
    found = before(stage, "pair").source.pairs.select_related("prompt", "chosen", "rejected")
    ordered = found.order_by("prompt__key", "chosen__index", "rejected__index")
    pairs = pairs_to_train_on(stage, ordered)
    args = {
        "pairs": [_pair(p) for p in pairs],
        "config": config_of(stage),
        "seed": stage.config["seed"],
        "directory": str(settings.ARTIFACTS / folder),
        "probes": probes(stage),
    }
    spec = specs.for_training(start, stage.config["train"]["launch"])
    checked = margins.gate(stage, pairs)
    result = job.call(spec, "train", args, on_progress=lambda frame: _mark(job, frame))
    result["gates"].append(checked)

    def write() -> None:
        Policy.objects.create(
            project=stage.run.project,
            name=f"{stage.run.name} round {stage.round}",
            folder=_below(folder, result["merged"], args["directory"]),
            adapter=_below(folder, result["adapter"], args["directory"]),
            sha256=result["sha256"]["merged"],
            adapter_sha256=result["sha256"]["adapter"] or "",
            parent=start,
            stage=stage,
            facts=result,
        )
        # Closing adds the chunk's size once more to what the steps have counted.
        size = job.claim.size
        Stage.objects.filter(pk=stage.pk).update(facts=_facts(result), done=0, total=size)

    return write


def _below(folder: Path, made: str | None, directory: str) -> str:
    """What was made, as a path below the artifacts; empty for nothing."""
    return str(folder / Path(made).relative_to(directory)) if made else ""


def pairs_to_train_on(stage: Stage, pairs: Iterable[Pair]) -> list[Pair]:
    """The seeded share of the pairs; where a number of steps is set, repeated to fill them."""
    train = stage.config["train"]
    kept = nested_share(list(pairs), train["pairs_share"], stage.config["seed"])
    if not train["steps"]:
        return kept
    return list(islice(cycle(kept), train["steps"] * train["batch_pairs"]))


def nested_share(pairs: Sequence[Pair], share: float, seed: int) -> list[Pair]:
    """A share of the pairs, at least one, in their order; smaller shares lie within larger ones.

    Drawn by the hash of what a pair is made of, so that it is the same in every database.
    """

    def draw(i: int) -> int:
        pair = pairs[i]
        return seed_of(seed, "share", pair.prompt.key, pair.chosen.index, pair.rejected.index)

    drawn = sorted(range(len(pairs)), key=draw)[: share_size(len(pairs), share)]
    return [pairs[i] for i in sorted(drawn)]


def config_of(stage: Stage) -> dict[str, Any]:
    """The trainer's settings; a number of steps is one pass over as many pairs."""
    train = dict(stage.config["train"])
    return {**train, "epochs": 1} if train["steps"] else train


def _pair(pair: Pair) -> dict[str, str]:
    return {
        "prompt": pair.prompt.text,
        "chosen": pair.chosen.text,
        "rejected": pair.rejected.text,
    }


def probes(stage: Stage) -> list[str]:
    """The texts of the collapse gauge: the first of the run's evaluation prompts by key, the same
    in every round, arm and seed, so that their numbers compare."""
    found = seeds_of(stage.run.project_id, [stage.run.config["evaluate"]["prompts"]])
    return [p.text for p in sorted(found, key=lambda p: p.key)[:PROBES]]


def _mark(job: Job, frame: dict[str, Any]) -> None:
    """Keep training steps' metrics, if the claim is still ours."""
    steps = [TrainingStep(stage=job.stage, step=n, metrics=m) for n, m in frame["metrics"]]
    with transaction.atomic():
        claims.hold(job.claim)
        TrainingStep.objects.bulk_create(
            steps,
            update_conflicts=True,
            unique_fields=("stage", "step"),
            update_fields=("metrics",),
        )
        Stage.objects.filter(pk=job.stage.pk).update(done=frame["step"], total=frame["steps"])
        progress = {"stage": job.stage.pk, "done": frame["step"], "total": frame["steps"]}
        lifecycle.emit(job.stage.run_id, "progress", progress)


def _facts(result: dict[str, Any]) -> dict[str, Any]:
    gauged = ("collapse_before", "collapse")
    names = ("loss_step1", "gates", *gauged, "dropped_by_truncation", "steps", "sha256")
    return {name: result[name] for name in names}


def finish(stage: Stage) -> Outcome:
    start = policy_before(stage)
    if not start.folder:
        told = f"policy {start} answers at endpoint {start.endpoint}: it has no weights to train"
        return Outcome(empty=told)
    failed = [gate["name"] for gate in stage.facts.get("gates", []) if not gate["passed"]]
    return Outcome(facts={"gates_failed": failed, "policy": stage.policy.name})
