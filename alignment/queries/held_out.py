"""The prompts that a run is evaluated on, which it may neither mine nor train on."""

from collections.abc import Collection
from functools import lru_cache

from django.db.models import Count, Max

from alignment.method.splits import HeldOut
from alignment.models import Run
from alignment.queries.prompts import seeds_of


def held_out(run: Run) -> HeldOut:
    """The prompts in all of the run's evaluation sets."""
    evaluate = run.config["evaluate"]
    return held_out_in(run.project_id, {evaluate["prompts"], *evaluate.get("sets", {}).values()})


def held_out_in(project_id: int, names: Collection[str]) -> HeldOut:
    """The prompts in all of the project's sets of these names."""
    seeds = seeds_of(project_id, names)
    state = seeds.aggregate(n=Count("pk"), last=Max("pk"))
    return _held_out(project_id, tuple(sorted(names)), state["n"], state["last"])


@lru_cache(maxsize=8)
def _held_out(project_id: int, names: tuple[str, ...], n: int, last: int | None) -> HeldOut:
    """Kept while the sets have so many prompts, the last one this: it takes a while to make."""
    return HeldOut(seeds_of(project_id, names).values_list("text", flat=True))
