"""The arms that the Compare page compares: runs whose configurations differ in nothing but the seed
are one; an imported evaluation is one of its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alignment.models import Evaluation, Project, Stage, Status
from alignment.queries.arm_names import arm_name, imported_name, is_last, start_facts
from alignment.queries.asked import imported_from, prompts_asked
from alignment.queries.preferences import compared_by
from alignment.queries.results import finished_evaluations
from alignment.queries.scores import Judged, judged_by
from alignment.queries.stages import untrained_rounds


@dataclass(frozen=True, kw_only=True)
class CompareArm:
    """Evaluations of one method at one setting after one round, by seed, and the stages of its runs
    that have or reuse them. also: arms and runs that only reuse these. judged, compared: by which
    versions of which judges, one completion at a time and side by side. share: of the pairs that it
    was trained on; asked: by seed the key of the prompts that were; imported: ids of the prompts
    that imported completions are of, which need not be the whole set; start: the key of the arm of
    its start policy, empty for imported ones, which is among that arm's keys; sweep: equal for arms
    that differ in their share alone; untrained: seeds whose rounds up to this one trained nothing,
    so that their policy is the start policy."""

    name: str
    also: tuple[str, ...]
    evaluations: dict[int, Evaluation]
    stages: dict[int, Stage]
    judged: Judged
    compared: Judged
    prompts: str
    asked: dict[int, str]
    imported: frozenset[int]
    round: int
    keys: frozenset[str]
    start: str
    share: float
    sweep: str
    untrained: tuple[int, ...]

    def fits(self, other: "CompareArm") -> bool:
        """Whether both were judged alike and asked the same prompts, seed by seed, since a limit
        takes others with every seed; of imported ones, some of the same."""
        side_by_side = {*self.compared, *other.compared}
        one_version = len({judge for judge, _ in side_by_side}) == len(side_by_side)
        seeds = self.asked.keys() & other.asked.keys()
        same = all(self.asked[seed] == other.asked[seed] for seed in seeds)
        alike = (self.judged, self.prompts) == (other.judged, other.prompts)
        apart = self.imported and other.imported and self.imported.isdisjoint(other.imported)
        return alike and same and one_version and not apart

    def of_seeds(self, seeds: Sequence[int]) -> "CompareArm":
        """The arm with what it has of these seeds, in their order."""
        stages = {seed: self.stages[seed] for seed in seeds if seed in self.stages}
        untrained = tuple(seed for seed in self.untrained if seed in seeds)
        evaluations = {seed: self.evaluations[seed] for seed in seeds}
        return replace(self, evaluations=evaluations, stages=stages, untrained=untrained)

    def is_called(self, name: str) -> bool:
        """By its own name, by one of its runs', or by that of an arm that only reuses it."""
        runs = {s.run.name for s in self.stages.values() if is_last(s)}
        return name in (self.name, *self.also, *runs)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """An evaluation, the stage that has it or reuses it, none for an imported one, the key of the
    prompts that it was asked, of an imported one their set and ids, and whether rounds came before
    it that all trained nothing."""

    evaluation: Evaluation
    stage: Stage | None
    asked: str
    imported: frozenset[int] = frozenset()
    untrained: bool = False

    @property
    def reuses(self) -> bool:
        return bool(self.stage and self.stage.reused_from_id)

    @property
    def seed(self) -> int:
        return int(self.stage.run.config["seed"]) if self.stage else 0

    @property
    def key(self) -> tuple[str, int, str]:
        """Equal for one arm, whose seeds were asked the same prompts unless a limit chose them."""
        if self.stage is None:
            return f"imported {self.evaluation.pk}", 1, self.asked
        limit = self.stage.run.config["evaluate"].get("limit")
        return _key(self.stage), self.stage.round, "" if limit else self.asked


def arms_of(project: Project) -> list[CompareArm]:
    """The project's arms, the one with the newest evaluation first.

    An arm whose runs only reuse what another arm's have is that arm, and named there.
    """
    found = _found(project)
    every = [f.evaluation for f in found]
    judged, compared = judged_by(every), compared_by(every)
    groups: dict[tuple[str, int, str, Judged, Judged], list[_Found]] = {}
    for f in found:
        by = judged[f.evaluation.pk], compared.get(f.evaluation.pk, ())
        groups.setdefault((*f.key, *by), []).append(f)
    arms: list[CompareArm] = []
    for group, every_one in sorted(groups.items(), key=lambda item: _only_reuses(item[1])):
        own = {f.seed: f for f in every_one}
        name = _name(own, arms)
        key, _, _, by_score, side_by_side = group
        arm = _arm(name, key, own, by_score, side_by_side)
        arm = replace(arm, also=_doubles(every_one, arm))
        reuses = _only_reuses(every_one)
        same = next((a for a in arms if reuses and _holds(a, arm)), None)
        if same is None:
            arms.append(arm)
        else:
            told = (*same.also, name, *arm.also) if arm.round else same.also
            arms[arms.index(same)] = replace(same, also=told, keys=same.keys | arm.keys)
    return sorted(arms, key=lambda a: -max(e.pk for e in a.evaluations.values()))


def _found(project: Project) -> list[_Found]:
    """The finished evaluations, once for every stage that has or reuses them."""
    evaluations = list(finished_evaluations(project).order_by("pk"))
    by_stage = {e.stage_id: e for e in evaluations}
    stages = Stage.objects.filter(run__project=project, kind="evaluate", status=Status.SUCCEEDED)
    asked = {pk: found.key for pk, found in prompts_asked(evaluations).items()}
    sets = imported_from(evaluations)
    found = [
        _Found(evaluation=e, stage=None, asked=own[0], imported=own[1])
        for e in evaluations
        if (own := sets.get(e.sampling_id))
    ]
    empty = untrained_rounds(stages.values_list("run", flat=True))
    for stage in stages.select_related("run").order_by("pk"):
        if evaluation := by_stage.get(stage.reused_from_id or stage.pk):
            rounds = set(range(1, stage.round + 1))
            untrained = bool(rounds) and rounds <= empty.get(stage.run_id, set())
            key = asked[evaluation.pk]
            found.append(_Found(evaluation=evaluation, stage=stage, asked=key, untrained=untrained))
    # The stage that has an evaluation comes after those that reuse it, and so stands for them.
    return sorted(found, key=lambda f: (f.evaluation.pk, not f.reuses))


def _only_reuses(own: Sequence[_Found]) -> bool:
    return all(f.reuses for f in own)


def _doubles(own: Sequence[_Found], arm: CompareArm) -> tuple[str, ...]:
    """Names of runs with the configuration and seed of another, which stands for them."""
    runs = {f.stage.run.name for f in own if f.stage and is_last(f.stage)}
    return tuple(sorted(name for name in runs if not arm.is_called(name)))


def _holds(arm: CompareArm, other: CompareArm) -> bool:
    """Whether all that the other has is in the arm."""
    own = {seed: evaluation.pk for seed, evaluation in arm.evaluations.items()}
    return all(own.get(seed) == e.pk for seed, e in other.evaluations.items())


def _arm(
    name: str, key: str, own: dict[int, _Found], judged: Judged, compared: Judged
) -> CompareArm:
    found = next(iter(own.values()))
    stage = found.stage
    whole: dict[str, Any] = stage.run.config if stage else {}
    train = whole.get("train", {})
    rest = {**whole, "seed": 0, "train": {**train, "pairs_share": 1}}
    return CompareArm(
        name=name,
        also=(),
        evaluations={seed: f.evaluation for seed, f in own.items()},
        stages={seed: f.stage for seed, f in own.items() if f.stage},
        judged=judged,
        compared=compared,
        prompts=_sets(whole["evaluate"]) if whole else "imported",
        asked={seed: f.asked for seed, f in own.items()},
        imported=found.imported,
        round=stage.round if stage else 1,
        keys=frozenset({key}),
        start=_start_key(whole) if whole else "",
        share=float(train.get("pairs_share", 1.0)),
        sweep=json.dumps(rest, sort_keys=True) if whole else key,
        untrained=tuple(sorted(seed for seed, f in own.items() if f.untrained)),
    )


def _sets(evaluate: Mapping[str, Any]) -> str:
    """The held-out sets: of all dimensions, and of those with one of their own."""
    own = (f"{name}: {held_out}" for name, held_out in sorted(evaluate.get("sets", {}).items()))
    return ", ".join([str(evaluate["prompts"]), *own])


def _key(stage: Stage) -> str:
    """Equal for runs that differ in their seed alone; a start policy's by what evaluates it."""
    config = {**stage.run.config, "seed": 0}
    return json.dumps(config, sort_keys=True) if stage.round else _start_key(config)


def _start_key(config: Mapping[str, Any]) -> str:
    """Equal for runs whose start policy is the same, and evaluated alike."""
    return json.dumps(start_facts(config), sort_keys=True)


def _name(own: Mapping[int, _Found], arms: Sequence[CompareArm]) -> str:
    found = next(iter(own.values()))
    taken = {name for a in arms for name in (a.name, *a.also)}
    starts = {a.name: next(iter(a.stages.values())).run.config for a in arms if a.round == 0}
    untrained = all(f.untrained for f in own.values())
    if found.stage is None:
        return imported_name(found.evaluation.label, found.asked, taken)
    stages = [f.stage for f in own.values() if f.stage]
    return arm_name(stages, taken, starts, untrained=untrained)
