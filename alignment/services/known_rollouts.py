"""Rows of completions that the record holds already: which rollout each is, scores that the
rollout lacks, and the evaluation that further completions belong to. A score on record stays what
it is.

Rows are in the temporary table of `services.staging`.
"""

from collections.abc import Sequence

from django.db.backends.utils import CursorWrapper
from django.db.models import Exists, OuterRef, QuerySet

from alignment.models import Evaluation, JudgeTrial, PromptSet, Rollout
from alignment.queries.scores import Judged, judged_by
from alignment.services import staging
from alignment.services.imported_scores import ENGINE, ScoreColumns
from alignment.services.staging import Problems

_MATCH = """
UPDATE staged s SET rollout_id = m.rollout FROM (
  SELECT a.number, b.id AS rollout FROM (
    SELECT number, key, completion,
      row_number() OVER (PARTITION BY key, completion ORDER BY number) AS place FROM staged
  ) a JOIN (
    SELECT r.id, p.key, r.text,
      row_number() OVER (PARTITION BY p.key, r.text ORDER BY r.id) AS place
    FROM alignment_rollout r JOIN alignment_prompt p ON p.id = r.prompt_id
    JOIN alignment_sampling g ON g.id = r.sampling_id
    JOIN alignment_policy y ON y.id = g.policy_id
    WHERE p.prompt_set_id = %s AND y.project_id = %s AND y.name = %s AND g.engine LIKE %s
  ) b ON b.key = a.key AND b.text = a.completion AND b.place = a.place
) m WHERE m.number = s.number
"""
_TEXT = """
alignment_rollout r JOIN alignment_prompt p ON p.id = r.prompt_id
  JOIN alignment_sampling g ON g.id = r.sampling_id
  JOIN alignment_policy y ON y.id = g.policy_id
WHERE p.prompt_set_id = %s AND p.key = s.key AND r.text = s.completion
  AND y.project_id = %s AND y.name = %s AND NOT EXISTS (
    SELECT 1 FROM alignment_rollout o WHERE o.id = s.rollout_id)
"""
_DIFFERS = """
s.raw[%s] <> 'NaN' AND EXISTS (
  SELECT 1 FROM alignment_score c JOIN alignment_judge j ON j.id = c.judge_id
  WHERE c.rollout_id = s.rollout_id AND j.engine = %s AND j.dimension_id = %s
    AND c.judge_version = j.version AND c.raw <> s.raw[%s])
"""
_READ_OTHERWISE = """
s.raw[%s] IS NOT NULL AND EXISTS (
  SELECT 1 FROM alignment_rollout r JOIN alignment_evaluation e ON e.sampling_id = r.sampling_id
  JOIN alignment_evaluation_judges x ON x.evaluation_id = e.id
  JOIN alignment_judge j ON j.id = x.judge_id
  WHERE r.id = s.rollout_id AND j.dimension_id = %s AND j.id <> %s)
"""
_HELD = """
(s.raw[%s] IS NULL OR EXISTS (
  SELECT 1 FROM alignment_score c WHERE c.rollout_id = s.rollout_id AND c.judge_id = %s
    AND c.judge_version = %s AND (c.raw IS NOT NULL OR s.raw[%s] = 'NaN')))
"""
_JUDGED_BY = """
INSERT INTO alignment_evaluation_judges (evaluation_id, judge_id)
SELECT DISTINCT e.id, %s::bigint FROM staged s JOIN alignment_rollout r ON r.id = s.rollout_id
JOIN alignment_evaluation e ON e.sampling_id = r.sampling_id WHERE s.raw[%s] IS NOT NULL
ON CONFLICT DO NOTHING
"""
_MOVE = """
UPDATE alignment_rollout r SET sampling_id = %s, index = r.index + (
  SELECT coalesce(max(o.index) + 1, 0) FROM alignment_rollout o
  WHERE o.sampling_id = %s AND o.prompt_id = r.prompt_id)
WHERE r.sampling_id = %s
"""


def match(
    cursor: CursorWrapper, prompt_set: PromptSet, policy_name: str, *, engine: str = "%"
) -> None:
    """Give each staged row the id of its rollout, where the policy has that completion in the set,
    of a sampling by the engine; those of equal texts are taken in their order."""
    cursor.execute(_MATCH, [prompt_set.pk, prompt_set.project_id, policy_name, engine])


def keep_what_adds(
    cursor: CursorWrapper,
    prompt_set: PromptSet,
    policy_name: str,
    scored: Sequence[ScoreColumns],
    problems: Problems,
) -> int:
    """Match the staged rows with imported rollouts and leave out those that are on record with
    other scores, or add nothing to them; how many known rollouts are left, to get scores."""
    match(cursor, prompt_set, policy_name, engine=ENGINE)
    values = [prompt_set.pk, prompt_set.project_id, policy_name]
    staging.drop_known(cursor, problems, _TEXT, values)
    held, of_all = [staging.KNOWN], []
    for k, score in enumerate(scored, 1):
        name, dimension, judge = score.scale.name, score.judge.dimension_id, score.judge
        told = f"it has another {name} score already, which stays"
        staging.drop_where(cursor, problems, _DIFFERS, [k, ENGINE, dimension, k], told)
        told = f"the {name} scores of its policy were read another way; read these likewise"
        staging.drop_where(cursor, problems, _READ_OTHERWISE, [k, dimension, judge.pk], told)
        held.append(_HELD)
        of_all += [k, judge.pk, judge.version, k]
    staging.drop_where(cursor, problems, " AND ".join(held), of_all, "is in the set already")
    cursor.execute(f"SELECT count(*) FROM staged s WHERE {staging.KNOWN}")
    return int(cursor.fetchone()[0])


def add_judges(cursor: CursorWrapper, scored: Sequence[ScoreColumns]) -> None:
    """Name the judges of the staged scores in the evaluations that their rollouts are of."""
    for k, score in enumerate(scored, 1):
        cursor.execute(_JUDGED_BY, [score.judge.pk, k])


def join_alike(
    cursor: CursorWrapper, prompt_set: PromptSet, policy_name: str
) -> dict[int, Evaluation]:
    """Make the policy's imported evaluations on the set that the same versions of the same judges
    scored one, the oldest, so that a policy has one however its completions were cut into files;
    by the id of each that went the one that it is in now."""
    found = _imported(prompt_set, policy_name)
    evaluations = list(found.select_related("sampling").prefetch_related("judges").order_by("pk"))
    judged = judged_by(evaluations)
    kept: dict[Judged, Evaluation] = {}
    gone: dict[int, Evaluation] = {}
    for evaluation in evaluations:
        whole = kept.setdefault(judged[evaluation.pk], evaluation)
        if whole is not evaluation:
            gone[evaluation.pk] = whole
            _move(cursor, evaluation, whole)
    return gone


def told_apart(prompt_set: PromptSet, evaluation: Evaluation) -> list[str]:
    """A note where the policy has other imported evaluations on the set."""
    name = evaluation.policy.name
    if not _imported(prompt_set, name).exclude(pk=evaluation.pk).exists():
        return []
    return [
        f"other completions of {name} in the set have other scores, so these are an evaluation of"
        " their own until all have the same"
    ]


def _imported(prompt_set: PromptSet, policy_name: str) -> "QuerySet[Evaluation]":
    """The policy's imported evaluations on the set."""
    own = Rollout.objects.filter(sampling=OuterRef("sampling"), prompt__prompt_set=prompt_set)
    return Evaluation.objects.filter(
        Exists(own),
        project=prompt_set.project,
        policy__name=policy_name,
        stage=None,
        sampling__engine=ENGINE,
    )


def _move(cursor: CursorWrapper, part: Evaluation, whole: Evaluation) -> None:
    """Put an evaluation's rollouts behind those of another, and what was of it to that one."""
    to, gone = whole.sampling, part.sampling
    cursor.execute(_MOVE, [to.pk, to.pk, gone.pk])
    JudgeTrial.objects.filter(sampling=gone).update(sampling=to)
    to.source = ", ".join(filter(None, [to.source, gone.source]))[:500]
    to.save(update_fields=("source",))
    gone.delete()
