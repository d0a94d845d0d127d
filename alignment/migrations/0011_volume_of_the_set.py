"""One pooled volume of a round's prompts together; those frozen by prompt say nothing of it."""

from django.db import migrations, models

NONE_LEFT = "DELETE FROM alignment_pooledvolume"


class Migration(migrations.Migration):
    dependencies = [("alignment", "0010_judge_versions")]
    operations = [
        migrations.RunSQL(NONE_LEFT, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="pooledvolume", name="volumes"),
        migrations.AddField(
            model_name="pooledvolume",
            name="volume",
            field=models.FloatField(default=0, help_text="against 0, of rewards from 0 to 1"),
            preserve_default=False,
        ),
        migrations.RunSQL(migrations.RunSQL.noop, NONE_LEFT),
    ]
