"""Which prompts arms were trained on the rewrites of, for arms are compared on those of all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alignment.models import Chunk, Prompt, Stage, Status
from alignment.queries.compare_arms import CompareArm

Accepted = set[tuple[int, int, int | None]]  # seed, round and parent prompt


@dataclass(frozen=True, kw_only=True)
class AcceptedPrompts:
    """How many prompts each arm was trained on the rewrites of, and how many are in all of them;
    a prompt counts once a seed and round."""

    in_all: int
    arms: dict[str, int]


def accepted_prompts(arms: Sequence[CompareArm]) -> AcceptedPrompts | None:
    """Of the arms that were trained here, over the rounds that all of them had; None where each
    was trained on the same prompts."""
    trained = [arm for arm in arms if arm.round and arm.stages]
    if len(trained) < 2:
        return None
    rounds = min(arm.round for arm in trained)
    seeds = {stage.run_id: seed for arm in trained for seed, stage in arm.stages.items()}
    by_run = _by_run(seeds, rounds)
    found = {
        arm.name: {key for stage in arm.stages.values() for key in by_run[stage.run_id]}
        for arm in trained
    }
    in_all = set.intersection(*found.values())
    if all(own == in_all for own in found.values()):
        return None
    return AcceptedPrompts(in_all=len(in_all), arms={name: len(own) for name, own in found.items()})


def _by_run(seeds: Mapping[int, int], rounds: int) -> Mapping[int, Accepted]:
    """By run the prompts whose rewrites it sampled."""
    stages = Stage.objects.filter(
        run__in=seeds, kind="resample", round__range=(1, rounds), status=Status.SUCCEEDED
    )
    sources = {s.pk: s.reused_from_id or s.pk for s in stages}
    items: dict[int, list[int]] = defaultdict(list)
    for chunk in Chunk.objects.filter(stage__in=sources.values()):
        items[chunk.stage_id] += chunk.items
    rewrites = Prompt.objects.filter(pk__in={pk for own in items.values() for pk in own})
    parents = dict(rewrites.values_list("pk", "parent_id"))
    found: dict[int, Accepted] = defaultdict(set)
    for stage in stages:
        for pk in items[sources[stage.pk]]:
            found[stage.run_id].add((seeds[stage.run_id], stage.round, parents[pk]))
    return found
