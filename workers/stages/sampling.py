"""Sample and resample: rollouts of the round's policy on its prompts.

A chunk is one padded batch of prompts of like length, fixed at planning, since the engine seeds
a batch from its members. Sampling again for rewrites (self-play) is the same code.
"""

from collections import Counter
from typing import Any

from alignment.method.refusals import declines
from alignment.method.seeds import seed_of
from alignment.models import Prompt, Rollout, Sampling, Stage
from alignment.queries.held_out import held_out
from alignment.queries.prompts import seeds_of
from workers import specs, store
from workers.stages.job import (
    ChunkPlan,
    Job,
    Outcome,
    Write,
    add_counts,
    before,
    cut,
    policy_before,
    reopen,
)

MOST_NAMED = 20  # of the rollouts that could not be sampled


def plan(stage: Stage) -> list[ChunkPlan]:
    prompts = round_prompts(stage) if stage.kind == "sample" else approved(stage)
    return plan_sampling(stage, prompts)


def plan_sampling(stage: Stage, prompts: list[Prompt], part: int = 0) -> list[ChunkPlan]:
    """Open the stage's sampling and batch the prompts by length."""
    policy, params = policy_before(stage), stage.config["sample"]
    if policy.endpoint:
        params = {**params, "engine": "endpoint", "served_as": policy.served_as}
    Sampling.objects.create(
        project=stage.run.project,
        stage=stage,
        policy=policy,
        params=params,
        engine=params["engine"],
    )
    prompts = sorted(prompts, key=lambda p: (len(p.text), p.key))
    batches = cut([p.pk for p in prompts], params["chunk_prompts"])
    return [
        ChunkPlan(index=i, items=items, size=len(items) * params["n"], part=part)
        for i, items in enumerate(batches)
    ]


def round_prompts(stage: Stage) -> list[Prompt]:
    """The seeds of the round's prompt set that are not held out, up to its limit."""
    chosen = stage.config["prompts"]
    project, seed = stage.run.project_id, stage.config["seed"]
    found = seeds_of(project, [chosen["set"]])
    prompts = sorted(found, key=lambda p: seed_of(seed, "prompts", p.key))
    kept_out = held_out(stage.run)
    kept = [p for p in prompts if not kept_out.has(p.text)]
    stage.facts = {"held_out": len(prompts) - len(kept)}
    stage.save(update_fields=("facts",))
    return kept[: chosen["limit"]]


def approved(stage: Stage) -> list[Prompt]:
    """The prompts that went on from the round's review."""
    review = before(stage, "review")
    return list(Prompt.objects.filter(outcome_of__stage=review.source).distinct())


def work(job: Job) -> Write:
    return sample(job, job.stage.sampling)


def sample(job: Job, sampling: Sampling) -> Write:
    """Rollouts of the chunk's prompts; what to write of them."""
    stage, prompts, params = job.stage, job.prompts(), sampling.params
    seeds = [
        [
            seed_of(stage.config["seed"], stage.kind, stage.round, p.key, i)
            for i in range(params["n"])
        ]
        for p in prompts
    ]
    spec = specs.for_sampling(sampling.policy, params)
    asked = {name: params[name] for name in ("temperature", "top_p", "max_new_tokens")}
    args = {"prompts": [p.text for p in prompts], "seeds": seeds, "params": asked}
    found = job.call(spec, "sample", args)
    version = job.slot.child(spec).version
    rows, failed = _rows(prompts, found["rollouts"], seeds)
    refused = _refused(job, prompts, rows)

    def write() -> None:
        store.write_rollouts(sampling.pk, [(*r, no) for r, no in zip(rows, refused, strict=True)])
        known = Sampling.objects.select_for_update().get(pk=sampling.pk)
        known.usage = dict(Counter(known.usage) + Counter(found["usage"]))
        known.engine_version = known.engine_version or version
        known.policy_sha256 = sampling.policy.sha256
        known.save(update_fields=("usage", "engine_version", "policy_sha256"))
        add_counts(stage, "not_sampled", failed)

    return write


def _rows(
    prompts: list[Prompt], completions: list[list[dict[str, Any]]], seeds: list[list[int]]
) -> tuple[list[tuple[Any, ...]], Counter[str]]:
    """Rows of the rollouts, and how many there are none of, by prompt and reason."""
    rows: list[tuple[Any, ...]] = []
    failed: Counter[str] = Counter()
    for prompt, own, of_prompt in zip(prompts, completions, seeds, strict=True):
        for i, (c, seed) in enumerate(zip(own, of_prompt, strict=True)):
            if "error" in c:
                failed[f"prompt {prompt.external_id or prompt.pk}: {c['error']}"] += 1
            else:
                row = (prompt.pk, i, c["text"], c["tokens"], c["finish_reason"], seed)
                rows.append(row)
    return rows, failed


def _refused(job: Job, prompts: list[Prompt], rows: list[tuple[Any, ...]]) -> list[bool | None]:
    """Which rows decline, by the rule `refusal`, since a policy that refuses everything is safe;
    None where it cannot be told."""
    texts = {prompt.pk: prompt.text for prompt in prompts}
    args = {
        "rule": "refusal",
        "prompts": [texts[row[0]] for row in rows],
        "completions": [row[2] for row in rows],
    }
    replies = job.call({"engine": "rules"}, "judge", args)
    return [declines(row[2], reply["raw"]) for row, reply in zip(rows, replies, strict=True)]


def finish(stage: Stage) -> Outcome:
    """Counts, and the prompts that could not be sampled; where none could, a retry samples anew."""
    rollouts = Rollout.objects.filter(sampling__stage=stage)
    failed: dict[str, int] = stage.facts.get("not_sampled", {})
    named = sorted(failed.items(), key=lambda item: -item[1])
    facts: dict[str, Any] = {
        "rollouts": rollouts.count(),
        "stopped_by_length": rollouts.filter(finish_reason="length").count(),
    }
    sampling = stage.sampling
    facts["engine"] = sampling.engine_version or sampling.engine
    if usage := Counter(stage.facts.get("usage", {})) + Counter(sampling.usage):
        facts["usage"] = dict(usage)
    if failed:
        facts |= {"failed": sum(failed.values()), "not_sampled": dict(named[:MOST_NAMED])}
    if failed and not facts["rollouts"]:
        _sample_again(stage)
        return Outcome(failed=_none_sampled(facts["failed"], named[0][0]))
    held_out = stage.facts.get("held_out")
    why = f", {held_out:,} are held out for evaluation" if held_out else ""
    return Outcome(empty="" if facts["rollouts"] else f"no prompts to sample{why}", facts=facts)


def _none_sampled(asked: int, first: str) -> str:
    return (
        f"none of {asked:,} rollouts could be sampled; {first}. Correct what that names and"
        " start a clone of the run; or retry, if the model answers otherwise now"
    )


def _sample_again(stage: Stage) -> None:
    """Forget what failed, and open every chunk for a retry."""
    reopen(stage, stage.chunks.all())
    counted = ("not_sampled", "not_compared")
    facts = {name: fact for name, fact in stage.facts.items() if name not in counted}
    Stage.objects.filter(pk=stage.pk).update(facts=facts)
