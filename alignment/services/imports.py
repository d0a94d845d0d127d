"""Bring in what was made elsewhere: prompts, and completions with their scores.

One transaction each, so that an interrupted import leaves nothing: rows are copied into a
temporary table, compared there with each other and with the set, and moved where they belong.
Reading files is in `alignment.importing`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings as console
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from alignment.importing.columns import choose
from alignment.importing.files import open_table
from alignment.importing.rows import Row, Table, Unreadable
from alignment.method.errors import MoraError
from alignment.method.refusals import declines, refusal
from alignment.method.rules import SHIPPED, known_rules
from alignment.models import Evaluation, Project, Prompt, PromptSet, Role
from alignment.permissions import require
from alignment.services import staging
from alignment.services.imported_scores import (
    ScoreColumns,
    record_evaluation,
    record_scores,
    score_columns,
)
from alignment.services.known_rollouts import add_judges, join_alike, keep_what_adds, told_apart
from alignment.services.names import check_name
from alignment.services.staging import Problems

_PROMPT = ("line", "twin", "key", "text", "external_id", "kind", "meta")
_ROLLOUT = (*_PROMPT, "completion", "refused", "raw", "reward", "reply")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did. rows: imported; scored: rollouts on record that got scores which they
    lacked; prompts: new in the set; problems: of rows left out; notes: what was noticed that harms
    no row; evaluation: of imported rollouts, if any; joined: rollouts that it has besides these."""

    rows: int
    prompts: int
    problems: Problems
    notes: tuple[str, ...]
    scored: int = 0
    evaluation: Evaluation | None = None
    joined: int = 0


class BadRows(MoraError):
    """Rows of the file cannot be imported, so nothing was."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        rows = "1 row is" if problems.total == 1 else f"{problems.total:,} rows are"
        super().__init__(f"nothing was imported, since {rows} bad; skip them or mend the file")


def problems_of(done: "Imported | None", error: MoraError | None) -> Problems | None:
    """The bad rows that an import left out, or that kept it from being made."""
    if isinstance(error, BadRows):
        return error.problems
    return done.problems if done else None


def import_prompts(
    *,
    project: Project,
    set_name: str,
    path: Path,
    columns: Mapping[str, str],
    by: User | None,
    skip_bad: bool = False,
    limit: int | None = None,
) -> Imported:
    """Add a file's prompts to a set, which is made where absent.

    columns: role (prompt, id, kind) to column, guessed where not given; the other columns are kept
    as the prompt's meta. limit: rows of the file to read. by: None is the operator, who may import
    into any project. Raises BadRows, unless skip_bad; Denied; MoraError for a file or a name.
    """
    _check(project, by, set_name=set_name)
    with open_table(path) as table, transaction.atomic(), connection.cursor() as cursor:
        chosen = choose(table.columns, columns, ["prompt"])
        prompt_set = _locked_set(project, set_name, path)
        problems = _stage(
            cursor, _PROMPT, table, limit, lambda row: _prompt_of(row, chosen, meta=True)
        )
        _drop_known_prompts(cursor, prompt_set, problems)
        if problems.total and not skip_bad:
            raise BadRows(problems)
        added = _insert_prompts(cursor, prompt_set)
    return Imported(rows=added, prompts=added, problems=problems, notes=tuple(table.notes))


def import_rollouts(
    *,
    project: Project,
    set_name: str,
    policy_name: str,
    path: Path,
    columns: Mapping[str, str],
    scores: Sequence[str],
    by: User | None,
    make_dimensions: bool = False,
    skip_bad: bool = False,
    limit: int | None = None,
) -> Imported:
    """Record a file's completions with their scores as an evaluation of a policy.

    The prompts that the set lacks are added to it. Completions that the policy has in the set get
    the scores that they lack; one that differs from that on record is a bad row. Further ones join
    the policy's evaluation in the set whose scores were read alike. scores: formulas, see
    `importing.formula`, one a dimension. make_dimensions: make the dimensions that the project
    lacks, scale 0 to 1, bar 1. The rest is as for `import_prompts`; columns may name the completion
    too.
    """
    _check(project, by, set_name=set_name, policy_name=policy_name)
    with open_table(path) as table, transaction.atomic(), connection.cursor() as cursor:
        chosen = choose(table.columns, columns, ["prompt", "completion"])
        scored = score_columns(project, scores, table.columns, make=make_dimensions)
        prompt_set = _locked_set(project, set_name, path)
        told = _refusals_are_told()
        problems = _stage(
            cursor, _ROLLOUT, table, limit, lambda row: _rollout_of(row, chosen, scored, told)
        )
        known = keep_what_adds(cursor, prompt_set, policy_name, scored, problems)
        if problems.total and not skip_bad:
            raise BadRows(problems)
        added = _insert_prompts(cursor, prompt_set)
        evaluation, rows = record_evaluation(cursor, prompt_set, policy_name, path.name, scored)
        notes = record_scores(cursor, scored)
        add_judges(cursor, scored)
        whole = join_alike(cursor, prompt_set, policy_name)
        if evaluation:
            evaluation = whole.get(evaluation.pk, evaluation)
            notes += told_apart(prompt_set, evaluation)
    return Imported(
        rows=rows,
        scored=known,
        prompts=added,
        problems=problems,
        notes=(*table.notes, *notes),
        evaluation=evaluation,
        joined=evaluation.sampling.rollouts.count() - rows if evaluation else 0,
    )


def _check(project: Project, by: User | None, **names: str) -> None:
    if by is not None:
        require(by, project, Role.RESEARCHER)
    for what, name in names.items():
        check_name(what.replace("_", " "), name)


def _locked_set(project: Project, name: str, path: Path) -> PromptSet:
    """The set, locked, so that one import at a time compares itself with what it holds."""
    made, _ = PromptSet.objects.get_or_create(
        project=project, name=name, defaults={"source": path.name[:500]}
    )
    return PromptSet.objects.select_for_update().get(pk=made.pk)


def _stage(
    cursor: CursorWrapper,
    columns: Sequence[str],
    table: Table,
    limit: int | None,
    staged: Callable[[Row], tuple[Any, ...]],
) -> Problems:
    """Copy the file's good rows in; the problems of the others, and of those that repeat one."""
    problems = Problems(table.unit)
    staging.create(cursor, columns)
    good = staging.good_rows(islice(table.rows, limit), problems)
    if (
        not staging.fill(cursor, columns, staging.built(good, staged, problems))
        and not problems.total
    ):
        raise Unreadable("the file has no rows")
    staging.drop_repeats(cursor, problems)
    return problems


def _prompt_of(row: Row, chosen: Mapping[str, str], *, meta: bool) -> tuple[Any, ...]:
    """The staged columns of _PROMPT; two prompts repeat each other when their texts are equal."""
    text = staging.text_in(row, chosen["prompt"], "prompt")
    key = Prompt.key_of(text)
    rest = {k: v for k, v in row.values.items() if meta and k not in chosen.values()}
    kept = json.dumps({k: v for k, v in rest.items() if v not in (None, "")})
    return (
        row.line,
        key,
        key,
        text,
        staging.label_in(row, chosen.get("id"), 200),
        staging.label_in(row, chosen.get("kind"), 100),
        kept,
    )


def _rollout_of(
    row: Row, chosen: Mapping[str, str], scored: Sequence[ScoreColumns], refusals_are_told: bool
) -> tuple[Any, ...]:
    """The staged columns of _ROLLOUT; two rollouts repeat each other when prompt, completion and
    id are equal, for a policy may well answer twice alike."""
    line, _, key, text, external_id, *rest = _prompt_of(row, chosen, meta=False)
    completion = staging.text_in(row, chosen["completion"], "completion")
    twin = sha256(json.dumps([key, completion, external_id]).encode()).hexdigest()
    found = [score.of(row) for score in scored]
    raw, reward, reply = map(list, zip(*found, strict=True))
    refused = _refused(text, completion) if refusals_are_told else None
    return (line, twin, key, text, external_id, *rest, completion, refused, raw, reward, reply)


def _refusals_are_told() -> bool:
    """Not where the operator has another rule `refusal`, whose code runs in a worker's child."""
    return known_rules(console.RULES)["refusal"] == SHIPPED["refusal"]


def _refused(prompt: str, completion: str) -> bool | None:
    """Whether a completion declines, as a run's workers tell it of theirs."""
    return declines(completion, refusal(prompt, completion)[0])


def _drop_known_prompts(cursor: CursorWrapper, prompt_set: PromptSet, problems: Problems) -> None:
    known = (
        "alignment_prompt p WHERE p.prompt_set_id = %s AND p.parent_id IS NULL AND p.key = s.key"
    )
    staging.drop_known(cursor, problems, known, [prompt_set.pk])


def _insert_prompts(cursor: CursorWrapper, prompt_set: PromptSet) -> int:
    """Add the staged prompts that the set lacks, in the file's order; how many."""
    cursor.execute(
        "INSERT INTO alignment_prompt"
        " (prompt_set_id, text, key, external_id, kind, strategy, meta, created_at)"
        " SELECT %s, text, key, external_id, kind, '', meta, now() FROM"
        " (SELECT DISTINCT ON (key) * FROM staged ORDER BY key, number) AS first"
        " ORDER BY number"
        " ON CONFLICT (prompt_set_id, key) WHERE parent_id IS NULL DO NOTHING",
        [prompt_set.pk],
    )
    return int(cursor.rowcount)
