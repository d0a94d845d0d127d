"""Rows for the replay of thresholds: a round with 100,000 rollouts, three scores each."""

import numpy as np
from django.db import connection

from alignment.method.mining import MINED, VERDICTS, mine_many, rule_of
from alignment.models import (
    Dimension,
    Judge,
    Policy,
    Project,
    PromptSet,
    Run,
    Sampling,
    Stage,
    Verdict,
)
from alignment.queries.scores import raw_scores

PROMPTS, N = 6250, 16
SCALES = {"helpful": (1.0, 5.0, 4.0), "harmless": (0.0, 1.0, 1.0), "truthful": (0.0, 1.0, 1.0)}


def make_stage() -> Stage:
    """A finished stage of mining whose round has 100,000 rollouts with three scores each."""
    project = Project.objects.create(name="Replay", slug="replay-benchmark")
    judges = []
    for i, (name, (low, high, bar)) in enumerate(SCALES.items()):
        dimension = Dimension.objects.create(
            project=project, name=name, position=i, scale_low=low, scale_high=high, bar=bar
        )
        judges.append(
            Judge.objects.create(project=project, dimension=dimension, name=name, engine="rules")
        )
    run = Run.objects.create(project=project, name="replay", config={})
    configs = {
        "sample": {"sample": {"n": N}},
        "score": {"judges": {j.name: j.name for j in judges}},
        "mine": {"dimensions": list(SCALES), "mine": {}},
    }
    stages = {
        kind: Stage.objects.create(
            run=run,
            position=i,
            round=1,
            kind=kind,
            config=config,
            status="succeeded",
            fingerprint=kind,
        )
        for i, (kind, config) in enumerate(configs.items())
    }
    policy = Policy.objects.create(project=project, name="p")
    sampling = Sampling.objects.create(
        project=project, stage=stages["sample"], policy=policy, engine="none"
    )
    _fill(PromptSet.objects.create(project=project, name="s").pk, sampling.pk, judges)
    _mine(stages["mine"], sampling.pk, judges)
    return stages["mine"]


def _mine(stage: Stage, sampling: int, judges: list[Judge]) -> None:
    """The verdicts of the rule that ran."""
    prompt, raw = raw_scores(sampling, judges)
    ids, at = np.unique(prompt, return_inverse=True)
    dims = tuple(judge.dimension.record for judge in judges)
    found = mine_many(dims, raw, at.reshape(-1), rule_of({}, list(SCALES), N))
    Verdict.objects.bulk_create(
        Verdict(
            stage=stage,
            prompt_id=pk,
            verdict=VERDICTS[code],
            mined=VERDICTS[code] in MINED,
            attained=[],
            missing=[],
            counts={},
            ceiling={},
        )
        for pk, code in zip(ids.tolist(), found.code.tolist(), strict=True)
    )


def _fill(prompt_set: int, sampling: int, judges: list[Judge]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        cursor.execute(
            "INSERT INTO alignment_prompt (prompt_set_id, text, key, external_id, kind, strategy,"
            " meta, created_at) SELECT %s, 'p' || i, md5(i::text) || md5(i::text), '', '', '',"
            " '{}', now() FROM generate_series(1, %s) i",
            [prompt_set, PROMPTS],
        )
        cursor.execute(
            "INSERT INTO alignment_rollout (sampling_id, prompt_id, index, text, tokens,"
            " finish_reason) SELECT %s, p.id, i, 't', 5, 'stop' FROM alignment_prompt p,"
            " generate_series(0, %s) i WHERE p.prompt_set_id = %s",
            [sampling, N - 1, prompt_set],
        )
        for judge in judges:
            high = int(judge.dimension.scale_high)
            cursor.execute(
                "INSERT INTO alignment_score (rollout_id, judge_id, judge_version, raw, reply,"
                " reason) SELECT id, %s, 1, floor(random() * %s + %s), '', '' FROM"
                " alignment_rollout WHERE sampling_id = %s",
                [judge.pk, high + (high == 1), int(judge.dimension.scale_low), sampling],
            )
        cursor.execute("ANALYZE alignment_rollout, alignment_score, alignment_prompt")
