"""The prompts that a run is evaluated on, which it may neither mine nor train on."""

from alignment.method.splits import HeldOut
from alignment.models import Run
from alignment.queries.prompts import seeds_of


def held_out(run: Run) -> HeldOut:
    """The prompts in all of the run's evaluation sets."""
    evaluate = run.config["evaluate"]
    names = {evaluate["prompts"], *evaluate.get("sets", {}).values()}
    return HeldOut(seeds_of(run.project_id, names).values_list("text", flat=True))
