"""The stored scores of a sampling as arrays, in two queries whatever the number of rollouts.

The database packs each column into one value of bytes: reading rows one by one, as COPY does too,
takes five times as long. What the numbers mean (means, intervals, fronts) is in `queries.results`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Max
from numpy.typing import NDArray

from alignment.method.records import Bools, Dimension, Floats, Ints
from alignment.models import Evaluation, Judge, Score

Key = tuple[tuple[int, int, str], ...]  # judges by id, version and scale; others give other figures
Judged = tuple[tuple[int, int], ...]  # judges by id, each with the version that scored


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledScores:
    """What judges, one a dimension, said of R rollouts on K dimensions.

    raw (R, K): NaN where there is no valid score; asked (R, K): whether the judge was asked for
    one; parent, prompt, prompt_set (R,): keys of the parent prompt (the same in every database),
    ids of the prompt and of the set that it is from; index (R,): the rollout's within its prompt;
    cut (R,): stopped by length; tokens, refused (R,): length of the completion and whether it
    declines, NaN where not known.
    """

    dims: tuple[Dimension, ...]
    raw: Floats
    asked: Bools
    parent: Ints
    prompt: Ints
    prompt_set: Ints
    index: Ints
    cut: Bools
    tokens: Floats
    refused: Floats

    @property
    def invalid(self) -> Ints:
        """By dimension (K,) the scores asked of the judge that it could not give."""
        found: Ints = (self.asked & ~np.isfinite(self.raw)).sum(axis=0)
        return found

    @property
    def apart(self) -> bool:
        """Whether dimensions were judged on different rollouts, each on a prompt set of its own."""
        return bool((self.asked != self.asked[:, :1]).any())

    def rows(self, kept: Bools) -> "SampledScores":
        """The rollouts kept (R,)."""
        left: dict[str, Any] = {name: getattr(self, name)[kept] for name in _columns()}
        return replace(self, **left)


def pooled_scores(found: Sequence[SampledScores]) -> SampledScores:
    """The rollouts of samplings that the same judges scored, together."""
    every: dict[str, Any] = {
        name: np.concatenate([getattr(s, name) for s in found]) for name in _columns()
    }
    return replace(found[0], **every)


def _columns() -> list[str]:
    """What has a value a rollout."""
    return [field.name for field in fields(SampledScores) if field.name != "dims"]


def judged_by(evaluations: Sequence[Evaluation]) -> dict[int, Judged]:
    """By evaluation its judges with the versions that scored it, which are those that are read.

    One query for all; a judge that was never edited has one version, so its scores are not asked.
    """
    judges = {e.pk: list(e.judges.all()) for e in evaluations}
    edited = {judge.pk for own in judges.values() for judge in own if judge.version > 1}
    samplings = {e.sampling_id for e in evaluations}
    scores = Score.objects.filter(judge__in=edited, rollout__sampling__in=samplings)
    latest = scores.values_list("rollout__sampling", "judge").annotate(Max("judge_version"))
    known = {(sampling, judge): version for sampling, judge, version in latest}
    return {
        e.pk: tuple(
            sorted((j.pk, known.get((e.sampling_id, j.pk), j.version)) for j in judges[e.pk])
        )
        for e in evaluations
    }


def evaluation_scores(evaluation: Evaluation) -> SampledScores:
    """Read an evaluation's rollouts and the scores of its judges, one judge a dimension."""
    judges = sorted(evaluation.judges.all(), key=lambda judge: judge.dimension.position)
    assert judges, f"evaluation {evaluation.pk} names no judge"
    return sampled_scores(evaluation.sampling_id, judges)


def key_of(judges: Iterable[Judge]) -> Key:
    return tuple((judge.pk, judge.version, repr(judge.dimension.record)) for judge in judges)


def judges_of_key(key: Key) -> list[Judge]:
    """The judges in their order, each in the version named."""
    rows = Judge.objects.select_related("dimension").in_bulk([pk for pk, *_ in key])
    for pk, version, _ in key:
        rows[pk].version = version
    return [rows[pk] for pk, *_ in key]


def sampled_scores(
    sampling_id: int, judges: Sequence[Judge], versions: Sequence[int] = ()
) -> SampledScores:
    """Read a sampling's rollouts and the scores of some judges, one a dimension, in their order.

    versions: the judges', whose scores are read; of none given the latest that scored.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ROLLOUTS, [sampling_id])
        columns = map(_column, cursor.fetchone(), _ROLLOUT_TYPES)
    rollout, prompt, prompt_set, parent, index, cut, tokens, refused = columns
    raw, asked = _matrix(sampling_id, [judge.pk for judge in judges], versions, rollout)
    return SampledScores(
        dims=tuple(judge.dimension.record for judge in judges),
        raw=raw,
        asked=asked,
        parent=parent,
        prompt=prompt,
        prompt_set=prompt_set,
        index=index,
        cut=cut != 0,
        tokens=_known(tokens),
        refused=_known(refused),
    )


def repeats(samplings: Sequence[int]) -> dict[int, set[tuple[int, int]]]:
    """By sampling its rollouts, as prompt id and index, that an earlier one of the same policy has
    too: of the same seed and the same text. Imported ones have no seed."""
    found: dict[int, set[tuple[int, int]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_REPEATS, {"samplings": list(samplings)})
        for sampling, prompt, index in cursor.fetchall():
            found.setdefault(sampling, set()).add((prompt, index))
    return found


def raw_scores(sampling_id: int, judges: Sequence[Judge]) -> tuple[Ints, Floats]:
    """Of a sampling: its rollouts' prompt ids (R,) and raw scores (R, K) by judges, each in the
    version that it has."""
    with connection.cursor() as cursor:
        cursor.execute(_PROMPTS, [sampling_id])
        rollout, prompt = map(_column, cursor.fetchone(), (">i8", ">i8"))
    versions = [judge.version for judge in judges]
    return prompt, _matrix(sampling_id, [judge.pk for judge in judges], versions, rollout)[0]


def _known(column: NDArray[Any]) -> Floats:
    """Numbers as they are; what was written as -1 is not known."""
    return np.where(column < 0, np.nan, column.astype(np.float64))


# A seed's key is a hash of its text, so the first half of it names the parent in every database.
_ROLLOUTS = """
    SELECT string_agg(int8send(r.id), ''), string_agg(int8send(p.id), ''),
           string_agg(int8send(p.prompt_set_id), ''),
           string_agg(decode(left(coalesce(parent.key, p.key), 16), 'hex'), ''),
           string_agg(int4send(r.index), ''),
           string_agg(int2send((r.finish_reason = 'length')::int::int2), ''),
           string_agg(int4send(coalesce(r.tokens, -1)), ''),
           string_agg(int2send(coalesce(r.refused::int, -1)::int2), '')
    FROM alignment_rollout r
    JOIN alignment_prompt p ON p.id = r.prompt_id
    LEFT JOIN alignment_prompt parent ON parent.id = p.parent_id
    WHERE r.sampling_id = %s
"""
_ROLLOUT_TYPES = (">i8", ">i8", ">i8", ">i8", ">i4", ">i2", ">i4", ">i2")
_PROMPTS = """
    SELECT string_agg(int8send(id), ''), string_agg(int8send(prompt_id), '')
    FROM alignment_rollout WHERE sampling_id = %s
"""
# Texts are read of those alone whose seed occurs twice.
_REPEATS = """
    WITH twice AS (
      SELECT prompt_id, seed FROM alignment_rollout
      WHERE sampling_id = ANY(%(samplings)s) AND seed IS NOT NULL
      GROUP BY prompt_id, seed HAVING count(*) > 1
    )
    SELECT sampling_id, prompt_id, index FROM (
      SELECT sampling_id, prompt_id, index, row_number() OVER (
        PARTITION BY prompt_id, seed, md5(text) ORDER BY sampling_id) AS time
      FROM alignment_rollout JOIN twice USING (prompt_id, seed)
      WHERE sampling_id = ANY(%(samplings)s)
    ) AS drawn WHERE time > 1
"""
_SCORES = """
    SELECT string_agg(int8send(s.rollout_id), ''), string_agg(int8send(s.judge_id), ''),
           string_agg(float8send(coalesce(s.raw, 'NaN')), ''),
           string_agg(int4send(s.judge_version), '')
    FROM alignment_score s JOIN alignment_rollout r ON r.id = s.rollout_id
    WHERE r.sampling_id = %s AND s.judge_id = ANY(%s)
"""
_SCORE_TYPES = (">i8", ">i8", ">f8", ">i4")


def _matrix(
    sampling_id: int, judges: Sequence[int], versions: Sequence[int], rollout: NDArray[Any]
) -> tuple[Floats, Bools]:
    """Raw scores (R, K), and whether they were asked for.

    An evaluation's sampling was scored by one version of a judge; a round's may have been scored
    again, by another, in a later run that shares it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SCORES, [sampling_id, list(judges)])
        of_rollout, of_judge, values, version = map(_column, cursor.fetchone(), _SCORE_TYPES)
    for k, judge in enumerate(judges):
        own = of_judge == judge
        read = ~own | (version == (versions[k] if versions else version[own].max(initial=0)))
        if not read.all():
            of_rollout, of_judge = of_rollout[read], of_judge[read]
            values, version = values[read], version[read]
    column, row = _positions(of_judge, np.asarray(judges)), _positions(of_rollout, rollout)
    raw = np.full((len(rollout), len(judges)), np.nan)
    raw[row, column] = values
    asked = np.zeros(raw.shape, dtype=bool)
    asked[row, column] = True
    return raw, asked


def _positions(wanted: NDArray[Any], ids: NDArray[Any]) -> Ints:
    """Where each of `wanted` stands in `ids`, which holds them all."""
    order = np.argsort(ids)
    return order[np.searchsorted(ids, wanted, sorter=order)]


def _column(packed: bytes | None, kind: str) -> NDArray[Any]:
    """A column that the database packed, in this machine's byte order; none for no rows."""
    column = np.frombuffer(packed or b"", dtype=kind)
    return column.astype(column.dtype.newbyteorder("="))
