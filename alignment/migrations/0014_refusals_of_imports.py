"""Completions imported before imports told which decline get told, and empty ones decline, so that
a rate counts all."""

from django.conf import settings
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from alignment.method.refusals import declines, refusal
from alignment.method.rules import SHIPPED, known_rules

CHUNK = 1000
# Where nobody looked at a sampling's completions, an empty one alone would be its rate.
EMPTY = r"""
UPDATE alignment_rollout r SET refused = true WHERE refused IS NULL AND text !~ '\S' AND EXISTS (
  SELECT 1 FROM alignment_rollout o WHERE o.sampling_id = r.sampling_id AND o.refused IS NOT NULL)
"""


def tell(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Not where the operator has another rule `refusal`, whose code runs in a worker's child."""
    if known_rules(settings.RULES)["refusal"] != SHIPPED["refusal"]:
        return
    untold = (
        apps.get_model("alignment", "Rollout")
        .objects.filter(sampling__engine="imported", refused=None)
        .select_related("prompt")
        .order_by("pk")
    )
    last = 0
    while rollouts := list(untold.filter(pk__gt=last)[:CHUNK]):
        for rollout in rollouts:
            raw, _ = refusal(rollout.prompt.text, rollout.text)
            rollout.refused = declines(rollout.text, raw)
        untold.model.objects.bulk_update(rollouts, ["refused"])
        last = rollouts[-1].pk


class Migration(migrations.Migration):
    dependencies = [("alignment", "0013_code_of_rules")]
    operations = [
        migrations.RunPython(tell, migrations.RunPython.noop),
        migrations.RunSQL(EMPTY, migrations.RunSQL.noop),
    ]
