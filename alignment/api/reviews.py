"""Review rewrites: take the next, decide it, take a decision back, adjudicate."""

from typing import Any

from django.http import Http404
from ninja import Router

from alignment.api.access import bare_project, item_for
from alignment.api.auth import Request
from alignment.api.pages import Id, Slug
from alignment.api.review_schemas import (
    AnswerIn,
    CardOut,
    DraftIn,
    DraftOut,
    LeaseIn,
    LeaseOut,
    NextOut,
    ReviewIn,
    ReviewOut,
)
from alignment.models import Review, ReviewItem, Role
from alignment.queries.cards import card
from alignment.queries.desk import nothing_left
from alignment.queries.reviews import reviews_visible
from alignment.services import queue, reviews
from alignment.services.drafts import save_draft

router = Router(tags=["reviews"])


@router.post("/projects/{slug}/review/next", response=NextOut)
def next_review_item(request: Request, slug: Slug) -> dict[str, Any]:
    """Lease the next rewrite to review; the one that you hold already is given again."""
    project = bare_project(slug)
    item = queue.next_item(project=project, by=request.auth)
    if item is None:
        return {"item": None, "reason": nothing_left(project, request.auth)}
    return {"item": card(item, request.auth), "reason": ""}


@router.get("/review-items/{item_id}", response=CardOut)
def get_review_item(request: Request, item_id: Id) -> dict[str, Any]:
    """A rewrite in its review."""
    return card(item_for(request.auth, item_id), request.auth)


@router.get("/review-items/{item_id}/reviews", response=list[ReviewOut])
def list_reviews(request: Request, item_id: Id) -> list[Review]:
    """Its standing reviews: your own, those of others once it is decided and you have reviewed it
    or the review is over, and all of them to an adjudicator once it is disputed or decided."""
    return reviews_visible(item_for(request.auth, item_id), request.auth)


@router.post("/review-items/{item_id}/take", response=CardOut)
def take_review_item(request: Request, item_id: Id) -> dict[str, Any]:
    """Lease this rewrite in place of the one that you hold; 409 where somebody else holds it."""
    item = queue.take_item(item=item_for(request.auth, item_id), by=request.auth)
    return card(item, request.auth)


@router.post("/review-items/{item_id}/renew", response=LeaseOut)
def renew_lease(request: Request, item_id: Id, body: LeaseIn) -> dict[str, Any]:
    """Heartbeat: hold the rewrite for ten more minutes; 409 where you no longer hold it."""
    item = item_for(request.auth, item_id)
    expires = queue.renew_lease(item=item, by=request.auth, lease=body.lease)
    return {"lease_expires_at": expires}


@router.post("/review-items/{item_id}/release", response=None)
def release_review_item(request: Request, item_id: Id, body: LeaseIn) -> None:
    """Give the rewrite back to the queue; where you no longer hold it, nothing changes."""
    item = item_for(request.auth, item_id)
    queue.release_item(item=item, by=request.auth, lease=body.lease)


@router.post("/review-items/{item_id}/review", response=ReviewOut)
def submit_review(request: Request, item_id: Id, body: ReviewIn) -> Review:
    """Decide, skip or flag a rewrite. Sent again with the same lease it changes nothing and
    answers like the first time; 409 keeps what you wrote as your draft."""
    try:
        return reviews.decide_rewrite(
            item=ReviewItem(pk=item_id),  # which the service reads and locks
            by=request.auth,
            answer=body.answer(),
            lease=body.lease,
            guideline=body.guideline,
        )
    except ReviewItem.DoesNotExist as error:
        raise Http404 from error


@router.post("/review-items/{item_id}/draft", response=DraftOut)
def save_review_draft(request: Request, item_id: Id, body: DraftIn) -> Any:
    """Keep what you have so far; it is dropped when you submit."""
    item = item_for(request.auth, item_id)
    return save_draft(item=item, by=request.auth, answer=body.answer(), lease=body.lease)


@router.post("/review-items/{item_id}/undo", response=CardOut)
def undo_review(request: Request, item_id: Id) -> dict[str, Any]:
    """Take your own review back, and hold the rewrite again where nobody else does; 409 once it
    was adjudicated or its stage has closed."""
    item: ReviewItem = reviews.undo_review(item=item_for(request.auth, item_id), by=request.auth)
    return card(item, request.auth)


@router.post("/review-items/{item_id}/adjudicate", response=ReviewOut)
def adjudicate(request: Request, item_id: Id, body: AnswerIn) -> Review:
    """Settle a rewrite whatever its reviews say; they stay as they are."""
    item = item_for(request.auth, item_id, Role.ADJUDICATOR)
    return reviews.adjudicate(item=item, by=request.auth, answer=body.answer())
