"""What the API of the review desk takes and gives. Docstrings are the reference page's text."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field, StringConstraints

from alignment.api.schemas import Strict
from alignment.models import BulkDecision, Invitation, Review, ReviewItem, ReviewTally, Role
from alignment.services.answers import MOST_TEXT, MOST_WORDS, Answer

Rating = Annotated[int, Field(strict=True, ge=1, le=5)]
Words = Annotated[str, StringConstraints(max_length=MOST_WORDS)]


class AnswerIn(Strict):
    """A decision: `text` is the edited rewrite, `reason` goes with a rejection, `words` is free
    text, `ratings` are optional."""

    decision: Literal["approve", "edit", "reject", "skip", "flag"]
    text: Annotated[str, StringConstraints(max_length=MOST_TEXT)] = ""
    reason: str = Field("", description=f"one of {', '.join(Review.Reason.values)}")
    words: Words = ""
    ratings: dict[str, Rating] = Field({}, description=f"by {', '.join(Review.Question.values)}")

    def answer(self) -> Answer:
        fields = self.model_dump(include=set(AnswerIn.model_fields))
        return Answer(**fields)


class ReviewIn(AnswerIn):
    lease: UUID | None = Field(None, description="of the rewrite as given out; once a submit")
    guideline: int | None = Field(
        None, ge=0, description="the version that was shown, 0 for none; else the one in force"
    )


class DraftIn(AnswerIn):
    """As a review, but nothing needs to be complete."""

    decision: Literal["", "approve", "edit", "reject", "skip", "flag"] = ""  # type: ignore[assignment]
    lease: UUID | None = Field(None, description="after a submit under it nothing is kept")


class LeaseIn(Strict):
    lease: UUID


class LeaseOut(Schema):
    lease_expires_at: datetime


class DraftOut(Schema):
    decision: str
    text: str
    reason: str
    words: str
    ratings: dict[str, int]
    saved_at: datetime


class CardOut(Schema):
    """A rewrite to decide. `lease` is null unless you hold it; `left` counts undecided rewrites of
    the stage, `left_for_me` those that take your review; `mine` your reviews in it."""

    id: int
    stage: int
    run: int
    state: str
    original: str
    rewrite: str
    strategy: str
    missing: list[str]
    lease: UUID | None
    lease_expires_at: datetime | None
    guideline: int | None
    draft: DraftOut | None
    left: int
    left_for_me: int
    mine: int


class NextOut(Schema):
    """The rewrite leased to you, or null with the reason why there is none."""

    item: CardOut | None
    reason: str


class ReviewOut(Schema):
    """`distance` is the edit's in words; `version` is the guideline's."""

    id: int
    item: int = Field(alias="item_id")
    reviewer: str
    decision: str
    edited_text: str
    distance: int | None
    reason: str
    words: str
    ratings: dict[str, int]
    adjudicates: bool
    version: int | None
    created_at: datetime
    withdrawn_at: datetime | None

    @staticmethod
    def resolve_reviewer(review: Review) -> str:
        return str(review.reviewer)

    @staticmethod
    def resolve_version(review: Review) -> int | None:
        return review.guideline.version if review.guideline else None


class DisputeOut(Schema):
    """A rewrite in dispute, and who said what."""

    id: int
    original: str
    rewrite: str
    reviews: list[ReviewOut]


class TallyOut(Schema):
    reviewer: str
    approve: int
    edit: int
    reject: int
    skip: int
    flag: int
    adjudicated: int
    last_at: datetime | None

    @staticmethod
    def resolve_reviewer(tally: ReviewTally) -> str:
        return str(tally.reviewer)


class ProgressOut(Schema):
    """`pending` rewrites still take reviews, `overlap` each; in `closes_in` seconds the run goes
    on. `people`: everybody's reviews for adjudicators and above, your own for others."""

    stage: int
    run: int
    round: int
    status: str
    total: int
    done: int
    disputed: int
    pending: int
    overlap: int
    closes_in: float | None
    people: list[TallyOut]


class HeldOut(Schema):
    id: int
    stage: int = Field(alias="stage_id")
    reviewer: str
    leased_at: datetime
    lease_expires_at: datetime

    @staticmethod
    def resolve_reviewer(item: ReviewItem) -> str:
        return str(item.held_by)


class CoefficientOut(Schema):
    """`low` and `high` bound 95 % of resamples of n items; `reason` says why `value` is null, or
    why no resample differs from it."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None


class AgreementOut(Schema):
    """`version` of the guideline, null for all together."""

    question: str
    level: str
    version: int | None
    reviewers: int
    percent: CoefficientOut
    kappa: CoefficientOut
    alpha: CoefficientOut


class GuidelineIn(Strict):
    text: str
    after: int = Field(ge=0, description="the version that it was written from, 0 for the first")


class GuidelineOut(Schema):
    version: int
    text: str
    created_at: datetime


class InvitationIn(Strict):
    role: Role
    days: int = Field(7, ge=1, le=90)
    most_uses: int = Field(1, ge=1, le=1000)


class InvitationOut(Schema):
    id: int
    role: str
    created_at: datetime
    expires_at: datetime
    most_uses: int
    uses: int
    revoked_at: datetime | None


class InvitationMade(InvitationOut):
    token: str = Field(description="shown once; whoever has it may join")


class TokenIn(Strict):
    token: Annotated[str, StringConstraints(max_length=200)]


class MemberOut(Schema):
    project: str
    role: str


class BulkIn(Strict):
    """A filter of a review stage, and the decision for all undecided rewrites that it means."""

    stage: int
    state: Literal["", "undecided", "pending", "disputed"] = ""
    strategy: str = ""
    missing: str = ""
    contains: str = ""
    decision: Literal["approve", "reject"]
    reason: str = ""
    words: Words = ""


class BulkOut(Schema):
    """`count` rewrites are meant, some of them in `sample`; `token` applies or undoes it."""

    token: UUID
    decision: str
    count: int
    sample: list[str]
    applied: int
    applied_at: datetime | None
    undone_at: datetime | None


class AssignIn(Strict):
    """`reviewer` is a member's name; empty is nobody."""

    items: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(max_length=10_000)
    reviewer: Annotated[str, StringConstraints(max_length=150)] = ""


class AssignedOut(Schema):
    assigned: int


class RerunOut(Schema):
    """Whether a rerun runs the stage `again`, and why."""

    stage: int
    kind: str
    again: bool
    why: str


class RerunIn(Strict):
    name: Annotated[str, StringConstraints(max_length=100)] = ""


def invitation_made(invitation: Invitation, token: str) -> dict[str, Any]:
    fields = InvitationOut.model_fields
    return {**{name: getattr(invitation, name) for name in fields}, "token": token}


def bulk_out(bulk: BulkDecision, sample: list[str]) -> dict[str, Any]:
    return {
        "token": bulk.token,
        "decision": bulk.decision,
        "count": len(bulk.items),
        "sample": sample,
        "applied": bulk.applied,
        "applied_at": bulk.applied_at,
        "undone_at": bulk.undone_at,
    }
