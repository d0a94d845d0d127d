"""The ablation on the sandbox: arms at equal budgets, on prompts accepted in all of them.

Every arm is a run of its own with the same seed. Review is required in all, and nobody is asked:
when the arms of a seed have reached a round's review, the rewrites of prompts that every arm
accepted are approved and the others rejected. Whatever is finished is reused, so a killed ablation
goes on where it was. What it found is in `ablation_report`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from alignment.method.config import RunConfig
from alignment.method.errors import MoraError
from alignment.models import ENDED, Project, Prompt, ReviewItem, Run, Stage, Status
from alignment.services import reviews, runs
from alignment.services.answers import Answer
from workers.sandbox import demo_config

SLUG = "ablation"
NAME = "Ablation"
FOCUS = ("harmless", "helpful")
# After the first round every arm has a policy of its own and mines other prompts, so few are mined
# in all arms: of the demo's 80 prompts 1 to 17 were, and the round trained on a pair or two.
PROMPT_SETS: dict[str, demo_config.Grammar] = {
    **{name: demo_config.PROMPT_SETS[name] for name in ("round-1", "held-out")},
    "round-2-large": (135, {"helpful": 24, "safety": 192, "mixed": 24}),
}
ROUND_SETS = ("round-1", "round-2-large")
ALONE = {name: {d: float(d == name) for d in demo_config.DIMENSIONS} for name in FOCUS}
# What tells an arm from the others; all else is equal.
ARMS: dict[str, dict[str, Any]] = {
    "dpo": {
        "rewrite": {"strategy": "none"},
        "pair": {"consistent": False, "keep_aligned": False},
        "weights": ALONE,
    },
    "none": {"rewrite": {"strategy": "none"}},
    "elaborate": {"rewrite": {"strategy": "elaborate"}},
    "paraphrase": {"rewrite": {"strategy": "paraphrase"}},
    "fuse": {"rewrite": {"strategy": "fuse"}},
}
TOLD = {
    "start": "the start policy",
    "dpo": "sequential DPO: original prompts, pairs by the round's dimension alone",
    "none": "RCS: original prompts, consistent pairs",
    "elaborate": "more detail on what is attained, as long as the fused rewrite; consistent pairs",
    "paraphrase": "the same request in other words; consistent pairs",
    "fuse": "MORA: the missing dimensions fused in; consistent pairs",
}
NOT_COMMON = "not accepted in every arm of the ablation"


@dataclass(frozen=True, kw_only=True)
class Size:
    """The equal budget: prompts a round, rollouts, training steps, evaluation; m of the ceiling."""

    name: str
    rounds: int
    limit: int | None
    n: int
    steps: int
    held_out: int | None
    evaluate_n: int

    @property
    def m(self) -> int:
        return self.n // 2


FULL = Size(name="", rounds=2, limit=None, n=16, steps=60, held_out=None, evaluate_n=8)
SMALL = Size(name="small ", rounds=1, limit=24, n=8, steps=2, held_out=6, evaluate_n=4)


def config_of(arm: str, seed: int, size: Size) -> RunConfig:
    """The arm's configuration; a run of it is told from others by its seed."""
    own = ARMS[arm]
    whole = demo_config.run_config(seed)
    weights = own.get("weights", {})
    whole["rounds"] = [
        {
            "prompts": prompts,
            "focus": focus,
            "limit": size.limit,
            "weights": weights.get(focus),
        }
        for prompts, focus in list(zip(ROUND_SETS, FOCUS, strict=True))[: size.rounds]
    ]
    whole["sample"] = {**whole["sample"], "n": size.n}
    whole["rewrite"] = own["rewrite"]
    whole["pair"] = own.get("pair", {})
    whole["review"] = {"mode": "required", "close_after_seconds": 0}
    whole["train"] = {**whole["train"], "steps": size.steps}
    evaluate = {"n": size.evaluate_n, "limit": size.held_out}
    whole["evaluate"] = {**whole["evaluate"], **evaluate}
    return RunConfig.model_validate(whole)


def runs_of(project: Project, seed: int, size: Size, by: User) -> dict[str, Run]:
    """The runs of a seed by arm: those that are there, taken up again where they had stopped, and
    new ones for the rest, not started. Raises MoraError where a run has another configuration."""
    found = {}
    for arm in ARMS:
        config = config_of(arm, seed, size)
        name = f"{size.name}{arm} seed {seed}"
        run = project.runs.filter(name=name).first()
        if run is None:
            run = runs.create_run(project=project, name=name, config=config, by=by)
        if RunConfig.model_validate(run.config) != config:
            raise MoraError(
                f"the run {name!r} of the project {project.slug!r} has another configuration than"
                " the ablation would give it; rename it, and start the ablation again"
            )
        if run.status in (Status.FAILED, Status.CANCELLED):
            runs.retry_run(run=run, by=by)
        found[arm] = run
    return found


def go_on(found: Mapping[str, Run], by: User) -> bool:
    """Start what can start, decide the reviews that every arm has reached; whether all have ended.

    The first arm starts alone: the others find what they share with it finished, and reuse it.
    Raises MoraError when a run has failed or was cancelled.
    """
    for run in found.values():
        run.refresh_from_db(fields=("status",))
        if run.status in (Status.FAILED, Status.CANCELLED):
            cause = run.stages.filter(status=run.status).order_by("position").first()
            raise MoraError(f"the run {run.name!r} has {run.status}: {cause and cause.reason}")
    first = next(iter(found.values()))
    mined = first.stages.filter(kind="mine", round=1, status=Status.SUCCEEDED).exists()
    for run in found.values():
        if run.status == Status.PENDING and (run is first or mined):
            runs.start_run(run=run, by=by)
    rounds = len(first.config["rounds"])
    for number in range(1, rounds + 1):
        stages = [run.stages.get(kind="review", round=number) for run in found.values()]
        waiting = [s for s in stages if s.status == Status.WAITING]
        if waiting and all(s.status in (Status.WAITING, Status.SUCCEEDED) for s in stages):
            _decide(waiting, common_parents(found, number), by)
    return all(run.status in ENDED for run in found.values())


def common_parents(found: Mapping[str, Run], number: int) -> set[str]:
    """Keys of the prompts whose rewrite was accepted in a round of every arm."""
    accepted = []
    for run in found.values():
        stage = run.stages.get(kind="rewrite", round=number).source
        rewrites = Prompt.objects.filter(stage=stage)
        accepted.append(set(rewrites.values_list("parent__key", flat=True)))
    return set.intersection(*accepted)


def _decide(stages: list[Stage], common: set[str], by: User) -> None:
    approve = Answer(decision="approve")
    reject = Answer(decision="reject", reason="other", words=NOT_COMMON)
    for stage in stages:
        items = ReviewItem.objects.filter(stage=stage, state=ReviewItem.State.PENDING)
        for item in items.select_related("stage__run__project", "prompt__parent"):
            assert item.prompt.parent is not None, f"prompt {item.prompt_id} is no rewrite"
            kept = item.prompt.parent.key in common
            reviews.adjudicate(item=item, by=by, answer=approve if kept else reject)
