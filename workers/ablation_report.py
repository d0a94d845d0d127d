"""What the ablation found: figures of the arms, and the table of `docs/ablation.md`.

Figures come from `queries.comparing`; here they are joined with ceilings on fresh rollouts, prompt
harm and counts. It reports what comes out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from alignment.method.records import Bools, Floats, PromptScores
from alignment.method.resampling import Estimate
from alignment.method.seeds import seed_of
from alignment.method.set_ceiling import PromptNumbers, pooled_volume, prompt_numbers
from alignment.method.statistics import holm, paired_difference, sign_flip_p
from alignment.models import Evaluation, Prompt, RewriteAttempt, Run, Stage
from alignment.queries.cells import Answered, Cells, answered
from alignment.queries.comparing import Comparison, compare_cells
from alignment.queries.scores import SampledScores, sampled_scores
from workers import store
from workers.ablation import ARMS, FOCUS, Size
from workers.sandbox import demo_config
from workers.sandbox.world import KINDS

BASE = "fuse"
FRESH = "none"  # the arm whose new rollouts are of the originals
SEED = 0
Runs = Mapping[int, Mapping[str, Run]]


def report(runs: Runs, size: Size) -> dict[str, Any]:
    """Everything that the ablation found, as JSON; runs: by seed and arm."""
    rounds = [_after(runs, number) for number in range(1, size.rounds + 1)]
    return {
        "seeds": sorted(runs),
        "size": asdict(size),
        "world": "sandbox: a made-up world built so that the conflict exists; no evidence for the"
        " paper's claim",
        "dimensions": list(demo_config.DIMENSIONS),
        "base": BASE,
        "rounds": rounds,
        "ceiling": _ceiling(runs, size),
        "prompt_harm": {
            arm: asdict(_harm(runs, arm, size)) for arm in ARMS if arm not in ("dpo", FRESH)
        },
        "counts": _counts(runs, size),
    }


def _after(runs: Runs, number: int) -> dict[str, Any]:
    """The start policy and the policies after a round, compared on the held-out prompts."""
    policies = {"start": [_evaluation(runs[seed][BASE], 0) for seed in sorted(runs)]}
    for arm in ARMS:
        policies[arm] = [_evaluation(runs[seed][arm], number) for seed in sorted(runs)]
    on = answered(policies)
    comparison = compare_cells(on, base=BASE, reference="start")
    return {
        "round": number,
        "focus": FOCUS[number - 1],
        "held_out_prompts": comparison.prompts,
        "arms": {arm.name: asdict(arm) for arm in comparison.arms},
        "differences": [asdict(d) for d in comparison.differences],
        "kinds": _kinds(on),
        "hypervolume_ranking": _ranking(comparison),
    }


def _kinds(on: Answered) -> dict[str, dict[str, dict[str, Any]]]:
    """By kind of held-out prompt and arm the mean rewards and the refusal rate."""
    asked = on.arms[BASE].scores[0]
    prompt = dict(zip(asked.parent.tolist(), asked.prompt.tolist(), strict=True))
    kinds = dict(Prompt.objects.filter(pk__in=prompt.values()).values_list("pk", "kind"))
    kind_of = np.array([kinds[prompt[parent]] for parent in on.parents.tolist()])
    return {
        kind: {arm: _of_kind(cells, on, kind_of == kind) for arm, cells in on.arms.items()}
        for kind in KINDS
        if (kind_of == kind).any()
    }


def _of_kind(cells: Cells, on: Answered, kept: Bools) -> dict[str, Any]:
    columns = [*np.moveaxis(cells.rewards, 2, 0), cells.rates[:, :, -1]]
    found = (
        paired_difference(own, np.zeros_like(own), on.parents[kept], seed=SEED)
        for own in (column[:, kept] for column in columns)
    )
    return dict(zip([*on.names, "refusals"], map(asdict, found), strict=True))


def _evaluation(run: Run, number: int) -> Evaluation:
    stage = run.stages.get(kind="evaluate", round=number).source
    return Evaluation.objects.prefetch_related("judges__dimension").get(stage=stage)


def _ranking(comparison: Comparison) -> list[str]:
    """Arms from the largest hypervolume of the mean reward vector to the smallest."""
    return [a.name for a in sorted(comparison.arms, key=lambda a: -(a.hypervolume.value or 0.0))]


def _ceiling(runs: Runs, size: Size) -> dict[str, Any]:
    """Ceiling numbers on the first round's fresh rollouts, as means over prompts and seeds.

    Before: new rollouts of the originals, by the arm `none`. After: of each arm's prompts. The
    pooled volume is of the rollouts of all arms and seeds.
    """
    arms = [arm for arm in ARMS if arm != "dpo"]
    cells: dict[str, dict[str, list[dict[int, float]]]] = {
        arm: {name: [] for name in PromptNumbers.NAMES} for arm in arms
    }
    scores = {seed: {arm: _resampled(runs[seed][arm]) for arm in arms} for seed in sorted(runs)}
    pooled = pooled_volume(
        [
            PromptScores(dims=s.dims, raw=s.raw).rewards
            for own in scores.values()
            for s in own.values()
        ]
    )
    for seed, own in scores.items():
        for arm, numbers in _numbers(own, seed, size, pooled).items():
            for name, found in numbers.items():
                cells[arm][name].append(found)
    return {"m": size.m, "pooled_volume": pooled, "arms": _cell_figures(cells, arms)}


def _resampled(run: Run) -> SampledScores:
    """The scores of the first round's rollouts of the prompts that went on."""
    stage = run.stages.get(kind="resample", round=1).source
    return sampled_scores(stage.sampling.pk, _judges(run))


def _judges(run: Run) -> list[Any]:
    return store.judges(run.project, [run.config["judges"][d] for d in run.config["dimensions"]])


def _numbers(
    scores: Mapping[str, SampledScores], seed: int, size: Size, pooled: float | None
) -> dict[str, dict[str, dict[int, float]]]:
    """By arm and name, each parent's number."""
    parents = sorted(set.intersection(*(set(s.parent.tolist()) for s in scores.values())))
    place = {key: i for i, key in enumerate(parents)}
    at = {a: np.array([place.get(k, -1) for k in s.parent.tolist()]) for a, s in scores.items()}
    found = {}
    for arm, s in scores.items():
        kept = at[arm] >= 0
        numbers = prompt_numbers(
            s.dims,
            s.raw[kept],
            at[arm][kept],
            m=size.m,
            seeds=[seed_of(seed, "volume", key) for key in parents],
            pooled=pooled,
        )
        found[arm] = {
            name: dict(zip(parents, getattr(numbers, name).tolist(), strict=True))
            for name in PromptNumbers.NAMES
        }
    return found


def _cell_figures(
    cells: Mapping[str, Mapping[str, Sequence[Mapping[int, float]]]], arms: Sequence[str]
) -> dict[str, Any]:
    """Per arm and number its mean, its difference to the fresh originals and its p-values."""
    keys = sorted({key for found in cells[FRESH]["volume"] for key in found})
    parents = np.array(keys, dtype=np.int64)

    def array(arm: str, name: str) -> Floats:
        return np.array([[own.get(k, np.nan) for k in keys] for own in cells[arm][name]])

    tested = [(a, name) for a in arms if a != FRESH for name in PromptNumbers.NAMES]
    p = [sign_flip_p(array(a, n), array(FRESH, n), parents, seed=SEED) for a, n in tested]
    corrected = dict(zip(tested, holm(p), strict=True))
    found: dict[str, Any] = {}
    for arm in arms:
        found[arm] = {}
        for name in PromptNumbers.NAMES:
            own, before = array(arm, name), array(FRESH, name)
            mean = paired_difference(own, np.zeros_like(own), parents, seed=SEED)
            change = paired_difference(own, before, parents, seed=SEED)
            found[arm][name] = {
                "mean": asdict(mean),
                "change": None if arm == FRESH else asdict(change),
                "corrected_p": corrected.get((arm, name)),
            }
    return found


def _harm(runs: Runs, arm: str, size: Size) -> Estimate:
    """Mean change of the prompts' own harm by rewriting them, over the rewrites that went on."""
    by_seed = [_harm_changes(own[arm], size) for _, own in sorted(runs.items())]
    keys = sorted(set().union(*by_seed))
    cells = np.array([[own.get(key, np.nan) for key in keys] for own in by_seed])
    return paired_difference(cells, np.zeros_like(cells), [key for _, key in keys], seed=SEED)


def _harm_changes(run: Run, size: Size) -> dict[tuple[int, str], float]:
    """By round and parent how much harm rewriting it added."""
    found: dict[tuple[int, str], float] = {}
    for number in range(1, size.rounds + 1):
        went_on = _approved(run, number)
        stage = run.stages.get(kind="rewrite", round=number).source
        strategy = run.config["rewrite"]["strategy"]
        attempts = RewriteAttempt.objects.filter(stage=stage, strategy=strategy, accepted=True)
        rows = attempts.values_list("parent__key", "harm_change")
        known = ((key, change) for key, change in rows if change is not None)
        found |= {(number, key): change for key, change in known if key in went_on}
    return found


def _approved(run: Run, number: int) -> set[str]:
    stage: Stage = run.stages.get(kind="review", round=number).source
    kept = Prompt.objects.filter(outcome_of__stage=stage)
    return set(kept.values_list("parent__key", flat=True))


def _rejected_refusals(stage: Stage) -> int:
    """How many of the pairs reject a completion that declines."""
    return stage.pairs.filter(rejected__refused=True).count()


def _counts(runs: Runs, size: Size) -> list[dict[str, Any]]:
    """What every arm worked on, by seed and round: the budgets, to see that they are equal."""
    rows = []
    for seed, own in sorted(runs.items()):
        for arm, run in own.items():
            for number in range(1, size.rounds + 1):
                stages = {s.kind: s for s in run.stages.filter(round=number)}
                rows.append(
                    {
                        "seed": seed,
                        "arm": arm,
                        "round": number,
                        "mined": stages["mine"].facts.get("mined", 0),
                        "accepted": stages["rewrite"].facts.get("accepted", 0),
                        "common": len(_approved(run, number)),
                        "pairs": stages["pair"].facts.get("pairs", 0),
                        "rejected_refusals": _rejected_refusals(stages["pair"].source),
                        "steps": stages["train"].facts.get("steps", 0),
                        "gates_failed": stages["train"].facts.get("gates_failed", []),
                    }
                )
    return rows
