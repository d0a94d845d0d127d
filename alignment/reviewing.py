"""What a review stage's rows mean: which rewrites it lists, which of them a person must decide,
and what the standing reviews of one make of it.

Skipped review approves all as written; an audit asks people for a seeded share; required review
asks for each. Locks are taken in the order item, stage, tally, run.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Q
from django.db.models.functions import Now

from alignment.method.errors import MoraError
from alignment.method.seeds import seed_of
from alignment.models import Prompt, Review, ReviewItem, Run, Stage

State, D = ReviewItem.State, Review.Decision
DECISIVE = (D.APPROVE, D.EDIT, D.REJECT)
TALLIED = (*D.values, "adjudicated", "open")


class Closed(MoraError):
    """The review stage takes no more reviews."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What a settled item changes in its stage's counters and its reviewers' tallies."""

    done: int
    disputed: int
    tallies: list[tuple[int, str, int]]


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What an item's standing reviews come to. text: of the prompt that goes on, None for none."""

    state: str
    text: str | None = None


def list_items(stage: Stage, rewrites: Stage) -> None:
    """Write the stage's items, one per accepted rewrite; those there already stay as they are."""
    prompts = Prompt.objects.filter(stage=rewrites.source).order_by("pk")
    items = [_item(stage, prompt) for prompt in prompts]
    ReviewItem.objects.bulk_create(items, ignore_conflicts=True, batch_size=5000)


def counts(stage: Stage) -> tuple[int, int, int, int]:
    """Items of a stage: all, those that people decide, decided (by whomever), disputed."""
    disputed, pending = (Count("pk", filter=Q(state=s)) for s in (State.DISPUTED, State.PENDING))
    found = stage.review_items.aggregate(
        total=Count("pk"),
        asked=Count("pk", filter=Q(needs_person=True)),
        disputed=disputed,
        pending=pending,
    )
    done = found["total"] - found["pending"] - found["disputed"]
    return found["total"], found["asked"], done, found["disputed"]


def close_after(run: Run) -> int:
    """Seconds between the last decision and the end of a review stage of the run."""
    return int(run.config["review"].get("close_after_seconds", 60))


def carry(stage: Stage, origin: Stage) -> None:
    """Let a just listed review stage begin with the standing reviews of an earlier run's.

    Both list the same rewrites, since the stages before are the same.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alignment_review (item_id, reviewer_id, decision, edited_text, distance,"
            " reason, words, ratings, adjudicates, guideline_id, leased_at, carried_from_id,"
            " source, created_at) SELECT n.id, v.reviewer_id, v.decision, v.edited_text,"
            " v.distance, v.reason, v.words, v.ratings, v.adjudicates, v.guideline_id,"
            " v.leased_at, v.id, v.source, v.created_at FROM alignment_review v"
            " JOIN alignment_reviewitem o ON o.id = v.item_id AND o.stage_id = %s"
            " JOIN alignment_reviewitem n ON n.prompt_id = o.prompt_id AND n.stage_id = %s"
            " WHERE v.withdrawn_at IS NULL ORDER BY v.id",
            [origin.pk, stage.pk],
        )
        cursor.execute(
            "UPDATE alignment_reviewitem n SET state = o.state, outcome_id = o.outcome_id,"
            " seen_by = o.seen_by, decided_at = o.decided_at FROM alignment_reviewitem o"
            " WHERE o.prompt_id = n.prompt_id AND o.stage_id = %s AND n.stage_id = %s",
            [origin.pk, stage.pk],
        )
        names = ", ".join(f'"{name}"' for name in (*TALLIED, "last_at", "reviewer_id"))
        cursor.execute(
            f"INSERT INTO alignment_reviewtally (stage_id, {names})"
            f" SELECT %s, {names} FROM alignment_reviewtally WHERE stage_id = %s",
            [stage.pk, origin.pk],
        )


def _item(stage: Stage, prompt: Prompt) -> ReviewItem:
    if needs_person(stage, prompt):
        needed = stage.config["review"].get("overlap", 1)
        return ReviewItem(stage=stage, prompt=prompt, needs_person=True, needed=needed)
    state = State.APPROVED
    return ReviewItem(
        stage=stage, prompt=prompt, needs_person=False, needed=0, state=state, outcome=prompt
    )


def needs_person(stage: Stage, prompt: Prompt) -> bool:
    """Whether a person must decide the rewrite: by the stage's review mode and seed."""
    review = stage.config["review"]
    if review["mode"] == "audit":
        draw = seed_of(stage.config["seed"], "review", stage.round, prompt.key) / 2**63
        return bool(draw < review["audit_share"])
    return bool(review["mode"] == "required")


def resolve(suggestion: str, needed: int, standing: Iterable[Review]) -> Resolution:
    """What the standing reviews of a rewrite come to.

    An adjudication settles it. A flag sends it to adjudication; so do reviews, once all `needed`
    are in, that do not all lead to the same text (or all to none). Skips count for nothing.
    """
    reviews = list(standing)
    settled = [r for r in reviews if r.adjudicates]
    decisive = settled or [r for r in reviews if r.decision in DECISIVE]
    if not settled and any(r.decision == D.FLAG for r in reviews):
        return Resolution(state=State.DISPUTED)
    if not settled and len(decisive) < needed:
        return Resolution(state=State.PENDING)
    texts = {_text(suggestion, review) for review in decisive}
    if len(texts) > 1:
        return Resolution(state=State.DISPUTED)
    (text,) = texts
    if text is None:
        return Resolution(state=State.REJECTED)
    return Resolution(state=State.APPROVED if text == suggestion else State.EDITED, text=text)


def _text(suggestion: str, review: Review) -> str | None:
    if review.decision == D.REJECT:
        return None
    return review.edited_text if review.decision == D.EDIT else suggestion


def settle(
    item: ReviewItem,
    changes: Iterable[tuple[int, str, int]],
    standing: list[Review] | None = None,
) -> bool:
    """Bring a locked item, its stage's counters and its reviewers' tallies in line with its
    standing reviews, of which some were just added or withdrawn.

    changes: (reviewer, column of ReviewTally, by how much) for each. standing: the standing
    reviews, where they are known. Sets the clock to the close of the stage once nothing is left,
    and stops it else; whether it has run out already. Raises Closed where the stage takes no
    reviews (any more), which undoes the caller's transaction.
    """
    if standing is None:
        standing = list(item.reviews.filter(withdrawn_at=None))
    return count(item.stage_id, **vars(move(item, changes, standing)))


def move(
    item: ReviewItem, changes: Iterable[tuple[int, str, int]], standing: list[Review]
) -> Moved:
    """Bring a locked item alone in line, as `settle` does; what is left to `count`."""
    found = resolve(item.prompt.text, item.needed, standing)
    seen = sorted({r.reviewer_id for r in standing if not r.adjudicates})
    opened = Counter(seen if found.state == State.PENDING else ())
    opened.subtract(item.seen_by if item.state == State.PENDING else ())
    moved = [*changes, *((reviewer, "open", by) for reviewer, by in opened.items() if by)]
    done = _is_done(found.state) - _is_done(item.state)
    disputed = (found.state == State.DISPUTED) - (item.state == State.DISPUTED)
    outcome = None if found.text is None else _outcome(item, found.text)
    ReviewItem.objects.filter(pk=item.pk).update(
        state=found.state,
        outcome=outcome,
        seen_by=seen,
        decided_at=Now() if _is_done(found.state) else None,
        assigned_to=None if item.assigned_to_id in seen else item.assigned_to_id,
        held_by=None if item.held_by_id in seen else item.held_by_id,
    )
    item.state, item.outcome, item.seen_by = found.state, outcome, seen
    return Moved(done=done, disputed=disputed, tallies=moved)


def _is_done(state: str) -> bool:
    return state not in (State.PENDING, State.DISPUTED)


def _outcome(item: ReviewItem, text: str) -> Prompt:
    """The prompt that goes on: the rewrite, or a person's text as a prompt of its own."""
    if text == item.prompt.text:
        return item.prompt
    parent = item.prompt.parent
    assert parent is not None, "a rewrite has a parent"
    prompt, _ = Prompt.objects.get_or_create(
        stage_id=item.stage_id,
        key=Prompt.key_of(text, parent.key),
        defaults={
            "text": text,
            "prompt_set_id": item.prompt.prompt_set_id,
            "kind": item.prompt.kind,
            "parent": parent,
            "strategy": item.prompt.strategy,
        },
    )
    return prompt


def count(
    stage_id: int, *, done: int, disputed: int, tallies: Iterable[tuple[int, str, int]]
) -> bool:
    """Add to a stage's counters and its reviewers' tallies, and set or stop its clock; whether it
    has run out already, as it does at once where a run asks for no delay.

    The stage's row is locked first, so that tallies of several people never deadlock.
    """
    rows: dict[int, Counter[str]] = {}
    for reviewer, column, by in tallies:
        rows.setdefault(reviewer, Counter())[column] += by
    values = [v for who, by in rows.items() for v in (who, *(by[n] for n in TALLIED))]
    places = ", ".join(f"(%s::bigint{', %s::int' * len(TALLIED)})" for _ in rows)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT.format(places=places), [done, disputed, done, stage_id, *values])
        found = cursor.fetchone()
    if found is None:
        raise Closed(closed_sentence(Stage.objects.get(pk=stage_id).status))
    return bool(found[0])


_NAMES = ", ".join(f'"{name}"' for name in TALLIED)
_SUMS = ", ".join(f'"{n}" = alignment_reviewtally."{n}" + excluded."{n}"' for n in TALLIED)
_SAID = " + ".join(f'excluded."{name}"' for name in TALLIED if name != "open")
_COUNT = f"""
WITH s AS (
  UPDATE alignment_stage SET done = done + %s, disputed = disputed + %s,
    closes_at = CASE WHEN done + %s = total THEN statement_timestamp() + make_interval(secs => (
      SELECT coalesce((config->'review'->>'close_after_seconds')::int, 60)
      FROM alignment_run r WHERE r.id = run_id)) END
  WHERE id = %s AND status = 'waiting' RETURNING id, closes_at <= statement_timestamp() AS due
), t AS (
  INSERT INTO alignment_reviewtally (stage_id, last_at, reviewer_id, {_NAMES})
  SELECT s.id, statement_timestamp(), v.* FROM s, (VALUES {{places}}) v (reviewer_id, {_NAMES})
  ON CONFLICT (stage_id, reviewer_id) DO UPDATE SET {_SUMS},
    last_at = CASE WHEN {_SAID} > 0 THEN excluded.last_at ELSE alignment_reviewtally.last_at END
)
SELECT due FROM s
"""


def closed_sentence(status: str) -> str:
    """Why a review stage of this status takes no reviews."""
    if status == "cancelled":
        return "this review is closed: its run was cancelled"
    if status == "succeeded":
        return "this review is closed: all was decided and the run went on; rerun from review"
    return f"this review is closed: its stage is {status}"
