"""Rows to records and back: the only translation between the database and the method.

Bulk rows go in by COPY. Nothing here commits: callers write inside `claims.close`, which may
roll back and come again.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Model

from alignment.method import records
from alignment.method.errors import MoraError
from alignment.models import Judge, Project, Rollout, Stage


def dimensions(project: Project, names: Sequence[str]) -> tuple[records.Dimension, ...]:
    """The project's dimensions as records, in the order named."""
    rows = {d.name: d for d in project.dimensions.filter(name__in=names)}
    return tuple(rows[name].record for name in names)


def judges(project: Project, names: Iterable[str]) -> list[Judge]:
    """The project's judges with their dimensions, in the order named; MoraError for one that is
    gone."""
    rows = {j.name: j for j in project.judges.select_related("dimension")}
    try:
        return [rows[name] for name in names]
    except KeyError as error:
        raise MoraError(f"the project has no judge {error} any more") from error


def insert(rows: Sequence[Model]) -> None:
    """Insert rows of one model, with ids of their own each time.

    Inserted rows carry the ids they got. After a rollback those are not theirs: a database that
    was killed meanwhile may give the same ids to others.
    """
    for row in rows:
        row.pk = None
    if rows:
        type(rows[0])._default_manager.bulk_create(rows)


def copy_in(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows by COPY into a table of ours, each text as `storable` gives it."""
    with connection.cursor() as wrapped:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        # Django wraps the errors of its own calls only, and COPY is none of them.
        with connection.wrap_database_errors, wrapped.cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row([storable(v) if isinstance(v, str) else v for v in row])


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL and half surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def write_rollouts(sampling_id: int, rows: Iterable[Sequence[Any]]) -> None:
    """Rollouts as (prompt id, index, text, tokens, finish_reason, seed, refused)."""
    own = ("prompt_id", '"index"', "text", "tokens", "finish_reason", "seed", "refused")
    copy_in("alignment_rollout", ("sampling_id", *own), ((sampling_id, *row) for row in rows))


def write_scores(
    judge: Judge, rollouts: Sequence[int], judgements: Sequence[dict[str, Any]]
) -> None:
    """A judge's replies on rollouts, in parallel; the reward is the raw score on the scale.

    A score that is there already stays: another run may have had the same rollouts judged.
    """
    assert len(rollouts) == len(judgements), (len(rollouts), len(judgements))
    raw = np.array([np.nan if j["raw"] is None else j["raw"] for j in judgements], dtype=float)
    rewards = judge.dimension.record.normalise(raw)
    columns = ("rollout_id", "judge_id", "judge_version", "raw", "reward", "reply", "reason")
    rows = (
        (rollout, judge.pk, judge.version, _number(r), _number(reward), j["reply"], j["reason"])
        for rollout, r, reward, j in zip(rollouts, raw, rewards, judgements, strict=True)
    )
    with connection.cursor() as cursor:
        names = ", ".join(columns)
        cursor.execute(
            "CREATE TEMPORARY TABLE IF NOT EXISTS new_score ON COMMIT DROP AS"
            f" SELECT {names} FROM alignment_score WITH NO DATA; TRUNCATE new_score"
        )
        copy_in("new_score", columns, rows)
        cursor.execute(
            f"INSERT INTO alignment_score ({names}) SELECT {names} FROM new_score"
            " ON CONFLICT (rollout_id, judge_id, judge_version) DO NOTHING"
        )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


class ScoredRollouts:
    """The rollouts of one prompt with their raw scores (n, K) by the stage's judges."""

    def __init__(self, rollouts: list[Rollout], raw: records.Floats) -> None:
        self.rollouts = rollouts
        self.raw = raw


def scored(
    sampling_stage: Stage, prompt_ids: Sequence[int], by: Sequence[Judge]
) -> dict[int, ScoredRollouts]:
    """Per prompt its rollouts of a sampling, by index, and raw scores (n, K); NaN for none."""
    rollouts = Rollout.objects.filter(
        sampling__stage=sampling_stage.source, prompt_id__in=prompt_ids
    ).order_by("prompt_id", "index")
    grouped: dict[int, list[Rollout]] = {prompt: [] for prompt in prompt_ids}
    place: dict[int, tuple[int, int]] = {}
    for rollout in rollouts:
        place[rollout.pk] = (rollout.prompt_id, len(grouped[rollout.prompt_id]))
        grouped[rollout.prompt_id].append(rollout)
    raw = {p: np.full((len(rows), len(by)), np.nan) for p, rows in grouped.items()}
    with connection.cursor() as cursor:
        for k, judge in enumerate(by):
            cursor.execute(
                "SELECT s.rollout_id, s.raw FROM alignment_score s"
                " WHERE s.judge_id = %s AND s.judge_version = %s AND s.raw IS NOT NULL"
                " AND s.rollout_id = ANY(%s)",
                [judge.pk, judge.version, list(place)],
            )
            for rollout_id, value in cursor.fetchall():
                prompt, row = place[rollout_id]
                raw[prompt][row, k] = value
    return {p: ScoredRollouts(rows, raw[p]) for p, rows in grouped.items()}
