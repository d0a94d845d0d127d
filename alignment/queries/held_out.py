"""The prompts that a run is evaluated on, which it may neither mine nor train on."""

from alignment.models import Prompt, Run


def held_out_texts(run: Run) -> list[str]:
    """Texts of the prompts in all of the run's evaluation sets."""
    evaluate = run.config["evaluate"]
    names = {evaluate["prompts"], *evaluate.get("sets", {}).values()}
    found = Prompt.objects.filter(
        prompt_set__project=run.project_id, prompt_set__name__in=names, parent=None
    )
    return list(found.values_list("text", flat=True))
