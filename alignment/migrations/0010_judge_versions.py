"""Stages that scored before now record the versions of their judges too: the latest that scored."""

from django.db import migrations, models

# Of a judge that was never edited, the version now is the one that scored.
RECORD = """
WITH scored AS (
  SELECT stage.id, judge.name, max(score.judge_version) AS version
  FROM alignment_stage stage
  JOIN alignment_stage sampled ON sampled.run_id = stage.run_id AND sampled.round = stage.round
    AND sampled.kind = CASE stage.kind WHEN 'score' THEN 'sample' ELSE 'resample' END
  JOIN alignment_sampling sampling
    ON sampling.stage_id = coalesce(sampled.reused_from_id, sampled.id)
  JOIN alignment_rollout rollout ON rollout.sampling_id = sampling.id
  JOIN alignment_score score ON score.rollout_id = rollout.id
  JOIN alignment_judge judge ON judge.id = score.judge_id AND judge.version > 1
  WHERE stage.kind IN ('score', 'rescore') AND stage.status = 'succeeded'
    AND stage.reused_from_id IS NULL
    AND judge.name IN (SELECT value FROM jsonb_each_text(stage.config -> 'judges'))
  GROUP BY stage.id, judge.name
), recorded AS (
  SELECT id, jsonb_object_agg(name, version) AS versions FROM scored GROUP BY id
)
UPDATE alignment_stage stage
SET facts = stage.facts || jsonb_build_object('versions', recorded.versions)
FROM recorded WHERE recorded.id = stage.id
"""


class Migration(migrations.Migration):
    dependencies = [("alignment", "0009_preferences")]
    operations = [
        migrations.RunSQL(RECORD, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="rollout",
            name="refused",
            field=models.BooleanField(
                help_text="the wording declines, by the rule `refusal`", null=True
            ),
        ),
    ]
