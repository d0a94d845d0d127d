"""Decisions on rewrites that were made elsewhere: they count like those made here, for the member
whose user name it is, else for a reviewer who has no login."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Prefetch
from django.db.models.functions import Lower

from alignment import lifecycle
from alignment.importing.columns import REVIEW_NAMES, choose
from alignment.importing.files import open_table
from alignment.importing.formula import cell
from alignment.importing.rows import Problem, Row, Unreadable
from alignment.method.errors import MoraError
from alignment.models import (
    Project,
    Prompt,
    Review,
    Reviewer,
    ReviewItem,
    Role,
    Run,
    Stage,
    Status,
)
from alignment.permissions import require
from alignment.reviewing import DECISIVE, closed_sentence, count, move
from alignment.services import staging
from alignment.services.answers import Answer, BadAnswer, checked, columns
from alignment.services.imports import BadRows, Imported
from alignment.services.queue import reviewer_of
from alignment.services.staging import BadRow, Problems

PART = 1000


@dataclass(frozen=True, kw_only=True)
class Said:
    """A row: what somebody decided on the rewrite with a key."""

    line: int
    key: str
    reviewer: str
    member: bool  # whether that may be the name of a member; not where the console says it is none
    answer: Answer


def import_reviews(
    *,
    run: Run,
    path: Path,
    columns: Mapping[str, str],
    by: User | None,
    skip_bad: bool = False,
    limit: int | None = None,
) -> Imported:
    """Record a file's decisions in the run's open review.

    A row names its rewrite by `rewrite_key`, or by the texts of original and rewrite; who reviewed
    it; and approve, edit (with the text), reject (with a reason) or flag (with words). A person
    reviews a rewrite once and a rewrite takes no more reviews than it needs; what goes beyond is a
    bad row. Rows that the console wrote itself and that are withdrawn, adjudicate or skip are
    passed over. columns: role to column, guessed where not given. by: None is the operator.
    Raises BadRows, unless skip_bad; Denied; MoraError where no review of the run is open.
    """
    if by is not None:
        require(by, run.project, Role.RESEARCHER)
    stage = run.stages.filter(kind="review", status=Status.WAITING).first()
    if stage is None:
        last = run.stages.filter(kind="review").order_by("position").last()
        raise MoraError(closed_sentence(last.status if last else "missing"))
    with open_table(path) as table, transaction.atomic():
        problems = Problems(table.unit)
        rows = list(staging.good_rows(islice(table.rows, limit), problems))
        _check_columns(dict.fromkeys(chain(table.columns, *(row.values for row in rows))), columns)
        kept = _kept(rows)
        every = _read(kept, columns, problems)
        said = [one for one in every if one.answer.decision != Review.Decision.SKIP]
        passed = len(rows) - len(kept) + len(every) - len(said)
        added = _record(stage, said, path.name, problems)
        if problems.total and not skip_bad:
            raise BadRows(problems)
        lifecycle.emit(run.pk, "review", {"stage": stage.pk})
    lifecycle.close_review(stage)
    notes = [*table.notes]
    if passed:
        what = "1 row was" if passed == 1 else f"{passed:,} rows were"
        notes.append(f"{what} passed over: withdrawn, adjudicating or skipping")
    return Imported(rows=added, prompts=0, problems=problems, notes=tuple(notes))


def _check_columns(found: Iterable[str], asked: Mapping[str, str]) -> None:
    """Raises Unreadable unless the columns that any row has are enough."""
    chosen = choose(tuple(found), asked, ["reviewer", "decision"], REVIEW_NAMES)
    if "rewrite_key" not in chosen and not {"original", "rewrite"} <= chosen.keys():
        raise Unreadable("no column is the rewrite_key; name it, or original and rewrite")


def _kept(every: Sequence[Row]) -> list[Row]:
    """The rows that are standing reviews."""
    return [
        row
        for row in every
        if not cell(row.values.get("withdrawn_at")).strip()
        and cell(row.values.get("adjudicates")).strip().lower() != "true"
    ]


def _read(rows: Iterable[Row], asked: Mapping[str, str], problems: Problems) -> list[Said]:
    """What the rows say, each by its own columns, for rows of JSON need not have the same."""

    @cache
    def chosen(columns: tuple[str, ...]) -> dict[str, str]:
        return choose((*columns, *asked.values()), asked, [], REVIEW_NAMES)

    found = []
    for row in rows:
        try:
            found.append(_said(row, chosen(tuple(row.values))))
        except BadRow as error:
            problems.add([Problem(line=row.line, reason=str(error))])
    return found


def _said(row: Row, chosen: Mapping[str, str]) -> Said:
    decision = staging.label_in(row, chosen.get("decision"), 20).strip().lower()
    if decision not in Review.Decision.values:
        raise BadRow(f"the decision is {decision!r}; it is one of {', '.join(Review.Decision)}")
    reviewer = staging.label_in(row, chosen.get("reviewer"), 150).strip()
    if not reviewer:
        raise BadRow("nobody is named as its reviewer")
    login = cell(row.values.get("has_login")).strip().lower()
    texts = {
        role: cell(row.values.get(chosen.get(role, ""))) for role in ("text", "reason", "words")
    }
    answer = Answer(decision=decision, ratings=_ratings(row), **texts)
    return Said(
        line=row.line,
        key=_key(row, chosen),
        reviewer=reviewer,
        member=login != "false",
        answer=answer,
    )


def _key(row: Row, chosen: Mapping[str, str]) -> str:
    if "rewrite_key" in chosen:
        return staging.label_in(row, chosen["rewrite_key"], 64).strip()
    if not {"original", "rewrite"} <= chosen.keys():
        raise BadRow("it has no rewrite_key, nor an original and a rewrite")
    original = staging.text_in(row, chosen["original"], "original")
    return Prompt.key_of(
        staging.text_in(row, chosen["rewrite"], "rewrite"), Prompt.key_of(original)
    )


def _ratings(row: Row) -> dict[str, int]:
    given = {name: cell(row.values.get(name)).strip() for name in Review.Question.values}
    for name, text in given.items():
        if text and not re.fullmatch(r"[1-5](\.0+)?", text):  # a column with gaps is of floats
            raise BadRow(f"{name!r} is {text[:20]!r}, not a whole number from 1 to 5")
    return {name: int(text[0]) for name, text in given.items() if text}


def _record(stage: Stage, said: list[Said], source: str, problems: Problems) -> int:
    """Write the reviews that can be, a part of the rewrites at a time; how many.

    All rewrites are locked first, by id, and the stage is counted last: the order of every lock.
    """
    by_key: dict[str, list[Said]] = {}
    for one in said:
        by_key.setdefault(one.key, []).append(one)
    ids = _locked(stage, list(by_key))
    for key in by_key.keys() - ids.keys():
        _refuse(by_key[key], "no rewrite of this review matches it", problems)
    people = _people(stage.run.project, said)
    order, added, moved = sorted(ids.values()), 0, []
    standing = Prefetch("reviews", Review.objects.filter(withdrawn_at=None))
    for start in range(0, len(order), PART):
        items = stage.review_items.filter(pk__in=order[start : start + PART]).order_by("pk")
        reviews = []
        for item in items.select_related("stage", "prompt__parent").prefetch_related(standing):
            more = _admitted(item, by_key[item.prompt.key], people, source, problems)
            if more:
                changes = [(review.reviewer_id, review.decision, 1) for review in more]
                moved.append(move(item, changes, [*item.reviews.all(), *more]))
                reviews += more
        added += len(Review.objects.bulk_create(reviews))
    if moved:
        count(
            stage.pk,
            done=sum(one.done for one in moved),
            disputed=sum(one.disputed for one in moved),
            tallies=chain.from_iterable(one.tallies for one in moved),
        )
    return added


def _locked(stage: Stage, keys: list[str]) -> dict[str, int]:
    """Lock the stage's rewrites of these keys, in the order of their ids; id by key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.key, i.id FROM alignment_reviewitem i"
            " JOIN alignment_prompt p ON p.id = i.prompt_id"
            " WHERE i.stage_id = %s AND p.key = ANY(%s) ORDER BY i.id FOR UPDATE OF i",
            [stage.pk, keys],
        )
        return dict(cursor.fetchall())


def _people(project: Project, said: Iterable[Said]) -> dict[tuple[str, bool], Reviewer]:
    """The reviewer of each name and `member`: who has that login in the project, else the name."""
    pairs = sorted({(one.reviewer, one.member) for one in said})
    logins = _logins(project, [name for name, member in pairs if member])
    people = {pair: logins[pair[0]] for pair in pairs if pair[1] and pair[0] in logins}
    for name, member in pairs:
        if (name, member) not in people:
            made, _ = Reviewer.objects.get_or_create(project=project, user=None, name=name)
            people[name, member] = made
    return people


def _logins(project: Project, names: Sequence[str]) -> dict[str, Reviewer]:
    """The reviewer of each name that is a login of the project, as it is written, else in whatever
    case where that means one person."""
    lower = [name.lower() for name in names]
    known = Reviewer.objects.alias(low=Lower("name")).filter(project=project, low__in=lower)
    found: dict[str, Reviewer] = {one.name: one for one in known.exclude(user=None)}
    members = User.objects.alias(low=Lower("username")).filter(low__in=lower)
    for user in members.filter(memberships__project=project):
        found[user.username] = reviewer_of(project, user)
    alike: dict[str, dict[int, Reviewer]] = {}
    for login, one in found.items():
        alike.setdefault(login.lower(), {})[one.pk] = one
    for name in names:
        if name not in found and len(alike.get(name.lower(), ())) == 1:
            (found[name],) = alike[name.lower()].values()
    return found


def _refuse(said: Iterable[Said], reason: str, problems: Problems) -> None:
    problems.add(Problem(line=one.line, reason=reason) for one in said)


def _admitted(
    item: ReviewItem,
    said: Iterable[Said],
    people: Mapping[tuple[str, bool], Reviewer],
    source: str,
    problems: Problems,
) -> list[Review]:
    """The reviews that a locked rewrite, with its standing `reviews`, still takes; the others are
    refused."""
    added: list[Review] = []
    seen = set(item.seen_by)
    left = item.needed - sum(review.decision in DECISIVE for review in item.reviews.all())
    for one in said:
        who = people[one.reviewer, one.member]
        if who.pk in seen:
            _refuse([one], f"{who.name} has reviewed this rewrite already", problems)
        elif item.state != ReviewItem.State.PENDING:
            _refuse([one], f"its rewrite is {item.state} already", problems)
        elif one.answer.decision in DECISIVE and left <= 0:
            _refuse([one], f"its rewrite has all {item.needed} reviews that it takes", problems)
        else:
            try:
                added.append(_review(item, who, checked(one.answer, item), source))
                seen.add(who.pk)
                left -= one.answer.decision in DECISIVE
            except BadAnswer as error:
                _refuse([one], str(error), problems)
    return added


def _review(item: ReviewItem, who: Reviewer, answer: Answer, source: str) -> Review:
    return Review(
        item=item,
        reviewer=who,
        **columns(answer, item),
        source=source[:500],
    )
