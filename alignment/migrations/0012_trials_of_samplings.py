"""A trial knows whose completions it judged. Reward judges of a lower-is-better dimension are a new
version: their fitted scale no longer turns values round, so older scores do not compare."""

import django.db.models.deletion
from django.db import migrations, models

NEW_VERSION = """
UPDATE alignment_judge judge SET version = judge.version + 1
FROM alignment_dimension dimension
WHERE dimension.id = judge.dimension_id AND NOT dimension.higher_is_better
  AND judge.engine = 'reward' AND jsonb_typeof(judge.settings -> 'reference') = 'object'
"""


class Migration(migrations.Migration):
    dependencies = [("alignment", "0011_volume_of_the_set")]
    operations = [
        migrations.AddField(
            model_name="judgetrial",
            name="sampling",
            field=models.ForeignKey(
                help_text="whose prompts and completions the items are",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to="alignment.sampling",
            ),
        ),
        migrations.RunSQL(NEW_VERSION, migrations.RunSQL.noop),
    ]
