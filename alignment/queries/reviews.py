"""The review queue, and one rewrite as its page shows it: what changed, why the prompt was mined,
the acceptance checks, and some rollouts of the original."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Coalesce

from alignment.models import (
    Guideline,
    Review,
    ReviewDraft,
    ReviewItem,
    RewriteAttempt,
    Role,
    Rollout,
    Stage,
    Status,
    Verdict,
)
from alignment.permissions import may
from alignment.queries.word_diff import Pieces, inline_diff, word_diff

State = ReviewItem.State
SAMPLES = 3


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
    """A rewrite to decide. original, rewrite, inline: what changed, side by side and as one.

    reviews: those that the person may see; left: undecided rewrites of the stage, disputed ones
    too; left_for_me: those that still take a review of this person; mine: reviews given.
    """

    item: ReviewItem
    original: Pieces
    rewrite: Pieces
    inline: Pieces
    verdict: Verdict | None
    reached: list[Reached]
    checks: list[dict[str, Any]]
    rollouts: list[Rollout]
    guideline: Guideline | None
    draft: ReviewDraft | None
    reviews: list[Review]
    left: int
    left_for_me: int
    total: int
    mine: int
    reasons: list[tuple[str, str]]


def review_page(item: ReviewItem, viewer: User) -> ReviewPage:
    """All that the card of a rewrite shows to a person; `item` with its lease, as leased."""
    parent = item.prompt.parent
    assert parent is not None, "a rewrite has a parent"
    original, rewrite = word_diff(parent.text, item.prompt.text)
    sources = _sources(item.stage)
    verdict = _verdict(item, sources.get("mine"))
    project = item.stage.run.project_id
    tally = item.stage.tallies.filter(reviewer__user_id=viewer.pk).first()
    left = item.stage.total - item.stage.done
    return ReviewPage(
        item=item,
        original=original,
        rewrite=rewrite,
        inline=inline_diff(parent.text, item.prompt.text),
        verdict=verdict,
        reached=_reached(verdict) if verdict else [],
        checks=_checks(item),
        rollouts=_rollouts(item, sources.get("sample")),
        guideline=Guideline.objects.filter(project=project).order_by("-version").first(),
        draft=item.drafts.filter(reviewer__user_id=viewer.pk).first(),
        reviews=reviews_visible(item, viewer),
        left=left,
        left_for_me=left - item.stage.disputed - (tally.open if tally else 0),
        total=item.stage.total,
        mine=tally.given if tally else 0,
        reasons=list(Review.Reason.choices),
    )


def reviews_visible(item: ReviewItem, viewer: User) -> list[Review]:
    """The standing reviews of an item that a person may see, for reviewing is blind.

    One's own always; to who may adjudicate, those of others once the item is decided or disputed;
    to anybody else once it is decided and they have reviewed it too, or its stage is over: an undo
    may ask it of them, also where they skipped it.
    """
    found = item.reviews.filter(withdrawn_at=None).select_related("reviewer", "guideline")
    reviews = list(found.order_by("pk"))
    mine = [review for review in reviews if review.reviewer.user_id == viewer.pk]
    if item.state == State.PENDING:
        return mine
    if may(viewer, item.stage.run.project, Role.ADJUDICATOR):
        return reviews
    has_reviewed = any(review.decision != Review.Decision.SKIP for review in mine)
    may_be_asked = item.stage.status == Status.WAITING and not has_reviewed
    return mine if item.state == State.DISPUTED or may_be_asked else reviews


def _verdict(item: ReviewItem, mine: int | None) -> Verdict | None:
    return Verdict.objects.filter(stage=mine, prompt=item.prompt.parent_id).first()


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
    attempt = attempts.order_by("-index").first()  # to elaborate, fusing came first
    return list(attempt.checks) if attempt else []


def _rollouts(item: ReviewItem, sample: int | None) -> list[Rollout]:
    """Some rollouts of the original from the round's policy, with their scores."""
    if sample is None:
        return []
    found = Rollout.objects.filter(sampling__stage=sample, prompt=item.prompt.parent_id)
    found = found.prefetch_related("scores__judge__dimension").order_by("index")
    return list(found[:SAMPLES])


def _sources(stage: Stage) -> dict[str, int]:
    """Where the rows of the round's stages are, by kind."""
    same = Stage.objects.filter(run=stage.run_id, round=stage.round)
    return dict(same.values_list("kind", Coalesce("reused_from", "pk")))
