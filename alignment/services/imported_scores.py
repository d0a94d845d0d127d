"""Scores made elsewhere: the dimension and judge each belongs to, read from rows, and recorded
with their rollouts as an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from django.db.backends.utils import CursorWrapper
from django.db.models import Max

from alignment.importing.formula import Formula, NoScore, cell, parse
from alignment.importing.rows import Row, Unreadable
from alignment.method import records
from alignment.method.errors import MoraError
from alignment.models import Dimension, Evaluation, Judge, Policy, Project, PromptSet, Sampling
from alignment.services import staging
from alignment.services.staging import BadRow

ENGINE = "imported"


@dataclass(frozen=True, kw_only=True)
class ScoreColumns:
    """A dimension's imported scores: how they are read, and the judge that they are recorded as.

    made: the dimension was made for this import, on the scale 0 to 1.
    """

    formula: Formula
    judge: Judge
    scale: records.Dimension
    made: bool

    def of(self, row: Row) -> tuple[float | None, float | None, str | None]:
        """Raw score, reward and cell of a row: NaN for an empty cell, None where not judged."""
        if not self.formula.applies(row.values):
            return None, None, None
        try:
            raw = self.formula.score(row.values)
        except NoScore as error:
            raise BadRow(str(error)) from error
        if raw is None:
            return float("nan"), float("nan"), ""
        return raw, _reward(self.scale, raw), cell(row.values.get(self.formula.column))


@lru_cache(maxsize=4096)
def _reward(scale: records.Dimension, raw: float) -> float:
    return float(scale.normalise(raw))


def score_columns(
    project: Project, formulas: Sequence[str], columns: Sequence[str], *, make: bool
) -> list[ScoreColumns]:
    """The formulas with their judges; raises MoraError for one that fits neither file nor project.

    make: make dimensions that the project lacks, scale 0 to 1, bar 1.
    """
    parsed = [parse(text) for text in formulas]
    names = [formula.dimension for formula in parsed]
    if not names or len(set(names)) != len(names):
        raise MoraError("name one score for each dimension, and at least one")
    for formula in parsed:
        for column in formula.columns:
            if column not in columns:
                have = ", ".join(map(repr, columns))
                raise Unreadable(f"no column {column!r} for {formula.dimension}; it has {have}")
    return [_score_columns(project, formula, make=make) for formula in parsed]


def _score_columns(project: Project, formula: Formula, *, make: bool) -> ScoreColumns:
    dimension = project.dimensions.filter(name=formula.dimension).first()
    made = dimension is None
    if dimension is None:
        if not make:
            have = ", ".join(d.name for d in project.dimensions.all()) or "none"
            raise MoraError(
                f"the project has no dimension {formula.dimension!r} (it has: {have}); make it in"
                " the project, or with --make-dimensions (scale 0 to 1, bar 1)"
            )
        dimension = _make_dimension(project, formula.dimension)
    scale = records.Dimension(
        name=dimension.name,
        scale_low=dimension.scale_low,
        scale_high=dimension.scale_high,
        bar=dimension.bar,
        higher_is_better=dimension.higher_is_better,
    )
    judge = _judge(project, dimension, formula)
    return ScoreColumns(formula=formula, judge=judge, scale=scale, made=made)


def _make_dimension(project: Project, name: str) -> Dimension:
    if len(name) > 100:
        raise MoraError(f"a dimension's name has at most 100 characters: {name[:20]!r} ...")
    last = project.dimensions.aggregate(last=Max("position"))["last"]
    return Dimension.objects.create(
        project=project,
        name=name,
        position=0 if last is None else last + 1,
        scale_low=0,
        scale_high=1,
        bar=1,
    )


def _judge(project: Project, dimension: Dimension, formula: Formula) -> Judge:
    """The judge that holds scores read this way, the same for every file; made where absent."""
    rule = formula.text
    if len(rule) > 100:
        rule = f"{rule[:80]} ... {sha256(rule.encode()).hexdigest()[:12]}"
    same = {"project": project, "dimension": dimension, "engine": Judge.Engine.IMPORTED}
    if known := Judge.objects.filter(**same, rule=rule).first():
        return known
    name, number = f"{dimension.name} from {formula.column}"[:90], 1
    taken = set(project.judges.filter(name__startswith=name).values_list("name", flat=True))
    while (numbered := name if number == 1 else f"{name} {number}") in taken:
        number += 1
    return Judge.objects.create(**same, rule=rule, name=numbered, use=Judge.Use.EVALUATION)


def record_evaluation(
    cursor: CursorWrapper,
    prompt_set: PromptSet,
    policy_name: str,
    source: str,
    scored: Sequence[ScoreColumns],
) -> tuple[Evaluation | None, int]:
    """Record the staged rollouts that are not on record; their evaluation (none without any), and
    how many."""
    cursor.execute(f"SELECT 1 FROM staged s WHERE NOT {staging.KNOWN} LIMIT 1")
    if cursor.fetchone() is None:
        return None, 0
    policy = _policy(prompt_set.project, policy_name)
    sampling = Sampling.objects.create(
        project=prompt_set.project, policy=policy, engine=ENGINE, source=source[:500]
    )
    rows = _insert_rollouts(cursor, sampling, prompt_set)
    evaluation = Evaluation.objects.create(
        project=prompt_set.project, policy=policy, sampling=sampling, label=policy_name
    )
    evaluation.judges.set([score.judge for score in scored])
    return evaluation, rows


def record_scores(cursor: CursorWrapper, scored: Sequence[ScoreColumns]) -> list[str]:
    """Record the scores of the staged rows, which have rollouts, where there is none yet; notes on
    those outside their scales."""
    cursor.execute("SELECT 1 FROM staged LIMIT 1")
    if cursor.fetchone() is None:
        return []
    return [note for k, score in enumerate(scored, 1) for note in _insert_scores(cursor, k, score)]


def _policy(project: Project, name: str) -> Policy:
    policy, _ = Policy.objects.get_or_create(project=project, name=name)
    if policy.folder:
        raise MoraError(f"policy {name!r} is a model of this project; name the imported one else")
    return policy


def _insert_rollouts(cursor: CursorWrapper, sampling: Sampling, prompt_set: PromptSet) -> int:
    cursor.execute(
        "INSERT INTO alignment_rollout"
        " (id, sampling_id, prompt_id, index, text, finish_reason, refused)"
        " SELECT s.rollout_id, %s, p.id,"
        " row_number() OVER (PARTITION BY s.key ORDER BY s.number) - 1, s.completion, 'unknown',"
        " s.refused"
        " FROM staged s JOIN alignment_prompt p"
        " ON p.prompt_set_id = %s AND p.parent_id IS NULL AND p.key = s.key"
        f" WHERE NOT {staging.KNOWN} ORDER BY s.number",
        [sampling.pk, prompt_set.pk],
    )
    return int(cursor.rowcount)


def _insert_scores(cursor: CursorWrapper, k: int, score: ScoreColumns) -> list[str]:
    """Record the k-th of the staged scores, from 1, where there is none yet; notes on those
    outside the scale."""
    name, low, high = score.scale.name, score.scale.scale_low, score.scale.scale_high
    cursor.execute("SELECT 1 FROM staged WHERE raw[%s] IS NOT NULL LIMIT 1", [k])
    if cursor.fetchone() is None:
        raise MoraError(f"no row has a {name} score: {score.formula.text!r} never holds")
    cursor.execute(
        "INSERT INTO alignment_score"
        " (rollout_id, judge_id, judge_version, raw, reward, reply, reason)"
        " SELECT rollout_id, %s, %s, nullif(raw[%s], 'NaN'), nullif(reward[%s], 'NaN'), reply[%s],"
        " CASE WHEN raw[%s] = 'NaN' THEN 'the file has no value' ELSE '' END"
        " FROM staged WHERE raw[%s] IS NOT NULL"
        " ON CONFLICT (rollout_id, judge_id, judge_version) DO UPDATE"
        " SET (raw, reward, reply, reason) ="
        " (excluded.raw, excluded.reward, excluded.reply, excluded.reason)"
        " WHERE alignment_score.raw IS NULL",
        [score.judge.pk, score.judge.version, k, k, k, k, k],
    )
    cursor.execute(
        "SELECT count(*), min(raw[%s]), max(raw[%s]) FROM staged WHERE raw[%s] <> 'NaN'"
        " AND (raw[%s] < %s OR raw[%s] > %s)",
        [k, k, k, k, low, k, high],
    )
    outside, least, most = cursor.fetchone()
    if not outside:
        return []
    found = f"{outside:,} {name} scores lie outside its scale {low:g} to {high:g}"
    if score.made:
        raise MoraError(f"{found} ({least:g} to {most:g}); make the dimension with its own scale")
    return [f"{found} and count as its ends"]
