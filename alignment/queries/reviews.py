"""The review queue, and one rewrite as its page shows it: what changed, why the prompt was mined,
the acceptance checks, and some rollouts of the original."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from django.db.models import QuerySet

from alignment.models import (
    Project,
    Review,
    ReviewItem,
    RewriteAttempt,
    Rollout,
    Stage,
    Status,
    Verdict,
)

State = ReviewItem.State
SAMPLES = 3
MOST_TOKENS = 2000
TOKEN = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
Pieces = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How far a mined prompt's rollouts reached on a dimension, or on all at once."""

    name: str
    passed: int
    valid: int
    best: float | None
    spread: float | None


@dataclass(frozen=True, kw_only=True)
class ReviewPage:
    """A rewrite to decide. original, rewrite: pieces of text, each `same`, `del` or `ins`."""

    item: ReviewItem
    original: Pieces
    rewrite: Pieces
    verdict: Verdict | None
    reached: list[Reached]
    checks: list[dict[str, Any]]
    rollouts: list[Rollout]
    left: int
    total: int
    mine: int


def pending(project: Project) -> "QuerySet[ReviewItem]":
    """The rewrites of the project that wait for a person, oldest first."""
    items = ReviewItem.objects.filter(
        stage__run__project=project, stage__status=Status.WAITING, state=State.PENDING
    )
    return items.select_related("stage__run__project", "prompt__parent").order_by("pk")


def next_item(project: Project, after: int = 0) -> ReviewItem | None:
    """The next rewrite to decide behind one that was passed over, then from the start again."""
    waiting = pending(project)
    return waiting.filter(pk__gt=after).first() or waiting.first()


def review_page(item: ReviewItem, reviewer_id: int) -> ReviewPage:
    parent = item.prompt.parent
    assert parent is not None, "a rewrite has a parent"
    original, rewrite = word_diff(parent.text, item.prompt.text)
    verdict = _verdict(item)
    listed = ReviewItem.objects.filter(stage=item.stage_id, needs_person=True)
    return ReviewPage(
        item=item,
        original=original,
        rewrite=rewrite,
        verdict=verdict,
        reached=_reached(verdict) if verdict else [],
        checks=_checks(item),
        rollouts=_rollouts(item),
        left=pending(item.stage.run.project).count(),
        total=listed.count(),
        mine=Review.objects.filter(item__stage=item.stage_id, reviewer=reviewer_id).count(),
    )


def word_diff(old: str, new: str) -> tuple[Pieces, Pieces]:
    """Both texts in pieces, word by word; of texts too long to compare, all is changed."""
    a, b = TOKEN.findall(old), TOKEN.findall(new)
    if len(a) + len(b) > MOST_TOKENS:
        return [("del", old)], [("ins", new)]
    # A word is the same whatever space stands behind it.
    matcher = SequenceMatcher(None, [t.strip() for t in a], [t.strip() for t in b], autojunk=False)
    before: Pieces = []
    after: Pieces = []
    for tag, i, j, k, m in matcher.get_opcodes():
        _add(before, "same" if tag == "equal" else "del", "".join(a[i:j]))
        _add(after, "same" if tag == "equal" else "ins", "".join(b[k:m]))
    return before, after


def _add(pieces: Pieces, kind: str, text: str) -> None:
    """Add a piece, with the space behind it on its own, so that marks end at the word."""
    word = text.rstrip()
    if word:
        pieces.append((kind, word))
    if text[len(word) :]:
        pieces.append(("same", text[len(word) :]))


def _verdict(item: ReviewItem) -> Verdict | None:
    mine = _before(item.stage, "mine")
    found = Verdict.objects.filter(stage=mine.source if mine else None)
    return found.filter(prompt=item.prompt.parent).first()


def _reached(verdict: Verdict) -> list[Reached]:
    counts, ceiling = verdict.counts, verdict.ceiling
    rows = [
        Reached(
            name=name,
            passed=counts["c_k"][k],
            valid=counts["n_k"][k],
            best=_last(ceiling["best_of"][k]),
            spread=ceiling["spread"][k],
        )
        for k, name in enumerate(ceiling["dimensions"])
    ]
    together = Reached(
        name="all at once",
        passed=counts["c_J"],
        valid=counts["n_J"],
        best=_last(ceiling["joint_attainment"]),
        spread=None,
    )
    return [*rows, together]


def _last(curve: dict[str, list[float]]) -> float | None:
    return curve["value"][-1] if curve["value"] else None


def _checks(item: ReviewItem) -> list[dict[str, Any]]:
    attempts = RewriteAttempt.objects.filter(
        stage=item.prompt.stage_id, parent=item.prompt.parent, accepted=True
    )
    attempt = attempts.order_by("index").first()
    return list(attempt.checks) if attempt else []


def _rollouts(item: ReviewItem) -> list[Rollout]:
    """Some rollouts of the original from the round's policy, with their scores."""
    sample = _before(item.stage, "sample")
    if sample is None:
        return []
    found = Rollout.objects.filter(sampling__stage=sample.source, prompt=item.prompt.parent)
    found = found.prefetch_related("scores__judge__dimension").order_by("index")
    return list(found[:SAMPLES])


def _before(stage: Stage, kind: str) -> Stage | None:
    """The stage of a kind in the same round."""
    same = Stage.objects.filter(run=stage.run_id, round=stage.round, kind=kind)
    return same.select_related("reused_from").first()
