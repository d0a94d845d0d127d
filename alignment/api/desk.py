"""The review desk for who leads it: progress, agreement, disputes, bulk, guidelines, people."""

from typing import Annotated, Any
from uuid import UUID

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status

from alignment.api.access import project_for, stage_for
from alignment.api.auth import Request
from alignment.api.pages import After, Id, Limit, Page, Slug, page
from alignment.api.review_schemas import (
    AgreementOut,
    AssignedOut,
    AssignIn,
    BulkIn,
    BulkOut,
    DisputeOut,
    GuidelineIn,
    GuidelineOut,
    HeldOut,
    InvitationIn,
    InvitationMade,
    InvitationOut,
    MemberOut,
    ProgressOut,
    RerunIn,
    RerunOut,
    TokenIn,
    bulk_out,
    invitation_made,
)
from alignment.api.schemas import RunWhole
from alignment.models import BulkDecision, Prompt, ReviewItem, Role, Run
from alignment.permissions import admit, may
from alignment.queries import desk
from alignment.queries.agreement import elsewhere, review_agreement
from alignment.queries.reviews import reviews_visible
from alignment.review_filters import ReviewFilter
from alignment.services import bulk, guidelines, invitations, queue, reruns
from alignment.services.answers import Answer

router = Router(tags=["review desk"])
SAMPLE = 10


@router.get("/projects/{slug}/review/progress", response=list[ProgressOut])
def list_review_progress(request: Request, slug: Slug) -> list[dict[str, Any]]:
    """The project's latest 20 review stages, open ones first. `people` is everybody for
    adjudicators and above, yourself for others."""
    project = project_for(request.auth, slug)
    leads = may(request.auth, project, Role.ADJUDICATOR)
    found = [desk.progress(stage) for stage in desk.review_stages(project)[:20]]
    return [
        {
            **vars(row),
            "people": [p for p in row.people if leads or p.reviewer.user_id == request.auth.pk],
            "stage": row.stage.pk,
            "run": row.stage.run_id,
            "round": row.stage.round,
            "status": row.stage.status,
        }
        for row in found
    ]


@router.get("/projects/{slug}/review/leases", response=list[HeldOut])
def list_leases(request: Request, slug: Slug) -> Any:
    """Who holds which rewrite just now; one a person at most."""
    return desk.leases(project_for(request.auth, slug, Role.ADJUDICATOR))


@router.get("/projects/{slug}/review/agreement", response=list[AgreementOut])
def get_agreement(
    request: Request,
    slug: Slug,
    stage: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="none: all stages")] = None,
) -> Any:
    """How far reviewers agree, per question and by version of the guideline."""
    project = project_for(request.auth, slug, Role.ADJUDICATOR)
    chosen = get_object_or_404(desk.review_stages(project), pk=stage) if stage else None
    return review_agreement(project, chosen)


class RatedElsewhereOut(Schema):
    policy: str
    agreement: AgreementOut


@router.get("/projects/{slug}/review/agreement-elsewhere", response=list[RatedElsewhereOut])
def get_agreement_elsewhere(request: Request, slug: Slug) -> Any:
    """How far those agree who rated imported completions, per policy and question."""
    project = project_for(request.auth, slug, Role.ADJUDICATOR)
    return [{"policy": policy, "agreement": row} for policy, row in elsewhere(project)]


@router.get("/stages/{stage_id}/disputes", response=Page[DisputeOut])
def list_disputes(
    request: Request, stage_id: Id, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """The stage's rewrites in dispute, and who said what of each."""
    stage = stage_for(request.auth, stage_id, Role.ADJUDICATOR)
    part = page(desk.disputes(stage), after, limit)
    items = [
        {
            "id": item.pk,
            "original": item.prompt.parent.text,
            "rewrite": item.prompt.text,
            "reviews": reviews_visible(item, request.auth),
        }
        for item in part["items"]
    ]
    return {**part, "items": items}


@router.post("/stages/{stage_id}/close", response=None)
def close_review(request: Request, stage_id: Id) -> None:
    """Let the run go on at once from a review in which nothing is left; else 409."""
    stage = stage_for(request.auth, stage_id, Role.RESEARCHER)
    reruns.close_review_now(stage=stage, by=request.auth)


@router.get("/stages/{stage_id}/rerun", response=list[RerunOut])
def get_rerun_plan(request: Request, stage_id: Id) -> list[dict[str, Any]]:
    """What a rerun from this stage would run again and what it would use as it is."""
    plan = reruns.rerun_plan(stage_for(request.auth, stage_id))
    return [{**vars(row), "stage": row.stage.pk, "kind": row.stage.kind} for row in plan]


@router.post("/stages/{stage_id}/assign", response=AssignedOut)
def assign_items(request: Request, stage_id: Id, body: AssignIn) -> dict[str, int]:
    """Prefer a member for pending rewrites: first in their queue, last in everybody else's."""
    stage = stage_for(request.auth, stage_id, Role.ADJUDICATOR)
    to = None
    if body.reviewer:
        members = User.objects.filter(memberships__project=stage.run.project_id)
        to = get_object_or_404(members, username=body.reviewer)
    items = ReviewItem.objects.filter(pk__in=body.items)
    changed = queue.assign_items(stage=stage, items=items, to=to, by=request.auth)
    return {"assigned": changed}


@router.post("/stages/{stage_id}/rerun", response={201: RunWhole})
def rerun_from(request: Request, stage_id: Id, body: RerunIn) -> Any:
    """A new run that goes on from this stage; a review begins with the decisions made."""
    stage = stage_for(request.auth, stage_id, Role.RESEARCHER)
    run = reruns.rerun_from(stage=stage, by=request.auth, name=body.name)
    return Status(201, Run.objects.select_related("project", "created_by").get(pk=run.pk))


@router.post("/projects/{slug}/review/bulk", response=BulkOut)
def preview_bulk(request: Request, slug: Slug, body: BulkIn) -> dict[str, Any]:
    """Preview a decision for all undecided rewrites of a filter; its token fixes the set."""
    project = project_for(request.auth, slug, Role.ADJUDICATOR)
    stage = get_object_or_404(desk.review_stages(project), pk=body.stage)
    parts = body.model_dump(include={"state", "strategy", "missing", "contains"})
    answer = Answer(decision=body.decision, reason=body.reason, words=body.words)
    chosen = ReviewFilter(stage=stage.pk, **parts)
    return _bulk(bulk.preview_bulk(chosen=chosen, by=request.auth, answer=answer))


@router.post("/bulk-decisions/{token}/apply", response=BulkOut)
def apply_bulk(request: Request, token: UUID) -> dict[str, Any]:
    """Decide what was previewed, but for what was decided or taken since; `applied` counts."""
    _admit_bulk(request, token)
    return _bulk(bulk.apply_bulk(token=token, by=request.auth))


@router.post("/bulk-decisions/{token}/undo", response=BulkOut)
def undo_bulk(request: Request, token: UUID) -> dict[str, Any]:
    """Take back exactly what a bulk decision decided."""
    _admit_bulk(request, token)
    return _bulk(bulk.undo_bulk(token=token, by=request.auth))


def _admit_bulk(request: Request, token: UUID) -> None:
    found = get_object_or_404(
        BulkDecision.objects.select_related("stage__run__project"), token=token
    )
    admit(request.auth, found.stage.run.project, Role.ADJUDICATOR)


def _bulk(made: BulkDecision) -> dict[str, Any]:
    texts = Prompt.objects.filter(review_items__in=made.items[:SAMPLE]).order_by("review_items")
    return bulk_out(made, list(texts.values_list("text", flat=True)))


@router.get("/projects/{slug}/guidelines", response=list[GuidelineOut])
def list_guidelines(request: Request, slug: Slug) -> Any:
    """The latest 50 versions of the guideline, newest first; the first is in force."""
    return list(project_for(request.auth, slug).guidelines.all()[:50])


@router.post("/projects/{slug}/guidelines", response={201: GuidelineOut})
def publish_guideline(request: Request, slug: Slug, body: GuidelineIn) -> Any:
    """Put a new version in force; 409 where somebody published one meanwhile."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    made = guidelines.publish_guideline(
        project=project, text=body.text, by=request.auth, after=body.after
    )
    return Status(201, made)


@router.get("/projects/{slug}/invitations", response=Page[InvitationOut])
def list_invitations(
    request: Request, slug: Slug, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """The project's invitations, newest first; their tokens are not kept."""
    found = project_for(request.auth, slug, Role.RESEARCHER).invitations.all()
    return page(found, after, limit, newest_first=True)


@router.post("/projects/{slug}/invitations", response={201: InvitationMade})
def invite(request: Request, slug: Slug, body: InvitationIn) -> Any:
    """Make an invitation, for a role up to your own. The answer holds its token, once."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    made, token = invitations.invite(
        project=project, role=body.role, by=request.auth, days=body.days, most_uses=body.most_uses
    )
    return Status(201, invitation_made(made, token))


@router.post("/projects/{slug}/invitations/{invitation_id}/revoke", response=InvitationOut)
def revoke_invitation(request: Request, slug: Slug, invitation_id: Id) -> Any:
    """End an invitation; who has joined stays."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    found = get_object_or_404(project.invitations, pk=invitation_id)
    invitations.revoke_invitation(invitation=found, by=request.auth)
    found.refresh_from_db()
    return found


@router.post("/invitations/accept", response=MemberOut)
def accept_invitation(request: Request, body: TokenIn) -> dict[str, Any]:
    """Join a project by an invitation's token; a role that you have is never lowered."""
    member = invitations.accept_invitation(token=body.token, user=request.auth)
    return {"project": member.project.slug, "role": member.role}
