"""Ratings of completions that were made elsewhere: one column a person, one value a completion."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from alignment.importing.columns import choose
from alignment.importing.files import open_table
from alignment.importing.rows import Row, Unreadable
from alignment.method.errors import MoraError
from alignment.models import Project, Prompt, PromptSet, Reviewer, Role
from alignment.permissions import require
from alignment.services import staging
from alignment.services.imports import BadRows, Imported
from alignment.services.known_rollouts import match
from alignment.services.staging import BadRow, Problems

_STAGED = ("line", "twin", "key", "completion", "reply")


@dataclass(frozen=True, kw_only=True)
class RatingColumn:
    """A column of values that one person gave on a question."""

    question: str
    column: str


def parse_rating(text: str) -> RatingColumn:
    """QUESTION=COLUMN; raises MoraError."""
    question, equals, column = (part.strip() for part in text.partition("="))
    if not (question and equals and column) or len(question) > 100 or len(column) > 150:
        raise MoraError(f"{text[:80]!r} is not QUESTION=COLUMN")
    return RatingColumn(question=question, column=column)


def import_ratings(
    *,
    project: Project,
    set_name: str,
    policy_name: str,
    path: Path,
    columns: Mapping[str, str],
    ratings: Sequence[str],
    by: User | None,
    skip_bad: bool = False,
    limit: int | None = None,
) -> Imported:
    """Record what people said of a policy's completions, which were imported or sampled before.

    ratings: QUESTION=COLUMN, where the column names the person; its values are nominal, and an
    empty cell is no rating. columns: role (prompt, completion, id) to column. by: None is the
    operator. Raises BadRows, unless skip_bad; Denied; MoraError for a file or a name.
    """
    if by is not None:
        require(by, project, Role.RESEARCHER)
    chosen_ratings = [parse_rating(text) for text in ratings]
    if not ratings or len(set(chosen_ratings)) < len(ratings):
        raise MoraError("name each rating once, and at least one")
    prompt_set = PromptSet.objects.filter(project=project, name=set_name).first()
    if prompt_set is None:
        raise MoraError(f"the project has no prompt set {set_name!r}; import the completions first")
    with open_table(path) as table, transaction.atomic(), connection.cursor() as cursor:
        chosen = choose(table.columns, columns, ["prompt", "completion"])
        for rating in chosen_ratings:
            if rating.column not in table.columns:
                raise Unreadable(f"no column {rating.column!r} for {rating.question}")
        problems = Problems(table.unit)
        staging.create(cursor, _STAGED)
        good = staging.good_rows(islice(table.rows, limit), problems)
        rows = staging.built(good, lambda row: _staged(row, chosen, chosen_ratings), problems)
        if not staging.fill(cursor, _STAGED, rows) and not problems.total:
            raise Unreadable("the file has no rows")
        staging.drop_repeats(cursor, problems)
        _match(cursor, prompt_set, policy_name, problems)
        people = [_person(project, rating) for rating in chosen_ratings]
        _drop_rated(cursor, chosen_ratings, people, problems)
        if problems.total and not skip_bad:
            raise BadRows(problems)
        count = _insert(cursor, chosen_ratings, people, path.name)
    return Imported(rows=count, prompts=0, problems=problems, notes=tuple(table.notes))


def _staged(
    row: Row, chosen: Mapping[str, str], ratings: Sequence[RatingColumn]
) -> tuple[Any, ...]:
    key = Prompt.key_of(staging.text_in(row, chosen["prompt"], "prompt"))
    completion = staging.text_in(row, chosen["completion"], "completion")
    external_id = staging.label_in(row, chosen.get("id"), 200)
    twin = sha256(json.dumps([key, completion, external_id]).encode()).hexdigest()
    values = [staging.label_in(row, rating.column, 200).strip() or None for rating in ratings]
    if not any(values):
        raise BadRow("nobody rated it")
    return row.line, twin, key, completion, values


def _match(
    cursor: CursorWrapper, prompt_set: PromptSet, policy_name: str, problems: Problems
) -> None:
    """Find the rollout of each staged row."""
    cursor.execute("UPDATE staged SET rollout_id = NULL")
    match(cursor, prompt_set, policy_name)
    reason = f"no such completion of {policy_name} in the prompt set"
    staging.drop_where(cursor, problems, "rollout_id IS NULL", [], reason)


def _person(project: Project, rating: RatingColumn) -> Reviewer:
    return Reviewer.objects.get_or_create(project=project, user=None, name=rating.column)[0]


def _drop_rated(
    cursor: CursorWrapper,
    ratings: Sequence[RatingColumn],
    people: Sequence[Reviewer],
    problems: Problems,
) -> None:
    for rating, person in zip(ratings, people, strict=True):
        known = (
            "EXISTS (SELECT 1 FROM alignment_rolloutrating r WHERE r.rollout_id = s.rollout_id"
            " AND r.question = %s AND r.reviewer_id = %s)"
        )
        reason = f"{person.name} has rated it on {rating.question} already"
        values = [rating.question, person.pk]
        staging.drop_where(cursor, problems, known, values, reason)


def _insert(
    cursor: CursorWrapper, ratings: Sequence[RatingColumn], people: Sequence[Reviewer], source: str
) -> int:
    count = 0
    for k, (rating, person) in enumerate(zip(ratings, people, strict=True), 1):
        cursor.execute(
            "INSERT INTO alignment_rolloutrating"
            " (rollout_id, reviewer_id, question, value, source, created_at)"
            " SELECT rollout_id, %s, %s, reply[%s], %s, now() FROM staged"
            " WHERE reply[%s] IS NOT NULL",
            [person.pk, rating.question, k, source[:500], k],
        )
        count += cursor.rowcount
    return count
