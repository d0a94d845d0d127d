"""The review queue, one rewrite at a time, and what a reviewer said before.

The card works as plain forms; with script it is swapped in place, and small requests beside it
keep the draft and the lease.
"""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_POST, require_safe

from alignment.method.edits import word_distance
from alignment.method.errors import MoraError
from alignment.models import Project, Review, ReviewDraft, ReviewItem, Role
from alignment.queries import own_reviews
from alignment.queries.desk import nothing_left, open_stages
from alignment.queries.reviews import review_page
from alignment.queries.word_diff import inline_diff
from alignment.services.answers import RATINGS, Answer, BadAnswer
from alignment.services.drafts import save_draft
from alignment.services.queue import LEASE, hold_item, next_item, release_item
from alignment.services.reviews import decide_rewrite, undo_review
from alignment.views.access import Request, item_for, project_for

PAGE = 50
SAID = {
    "approve": "Approved.",
    "edit": "Edited and approved.",
    "reject": "Rejected.",
    "skip": "Skipped.",
    "flag": "Flagged for an adjudicator.",
}
SAME = "The edit left the rewrite as it was: approved as written."


@require_safe
def review(request: Request, slug: str) -> HttpResponse:
    """The next rewrite to decide, leased to the person."""
    return _next(request, project_for(request, slug, Role.ANNOTATOR))


@require_POST
def decide(request: Request, slug: str, item_id: int) -> HttpResponse:
    item = item_for(request, slug, item_id, Role.ANNOTATOR)
    project, answer = item.stage.run.project, answer_in(request.POST)
    lease, version = lease_in(request.POST), version_in(request.POST)
    try:
        made = decide_rewrite(
            item=item, by=request.user, answer=answer, lease=lease, guideline=version
        )
    except BadAnswer as error:
        return _card(request, project, item, answer=answer, error=str(error), status=422)
    except MoraError as error:
        return _next(request, project, error=str(error), refused=answer, status=409)
    said = SAME if made.decision != answer.decision else SAID[made.decision]
    newest = project.guidelines.first()
    if newest and newest.pk != made.guideline_id:
        said += f" Guideline v{newest.version} has come into force since; read what is new in it."
    if request.htmx:
        return _next(request, project, said=said)
    messages.success(request, said)
    return redirect("review", slug)


@require_POST
def undo(request: Request, slug: str, item_id: int) -> HttpResponse:
    """Take the person's own word on a rewrite back; the rewrite comes up again with it."""
    item = item_for(request, slug, item_id, Role.ANNOTATOR)
    said, error = "Taken back.", ""
    try:
        item = undo_review(item=item, by=request.user)
        if item.held_by is None or item.held_by.user_id != request.user.pk:
            said = "Taken back; somebody else has the rewrite now, or it is in dispute."
    except MoraError as refused:
        said, error = "", str(refused)
    if request.htmx:
        return _next(request, item.stage.run.project, said=said, error=error)
    (messages.error if error else messages.success)(request, error or said)
    return redirect("review", slug)


def _next(
    request: Request,
    project: Project,
    *,
    said: str = "",
    error: str = "",
    refused: Answer | None = None,
    status: int = 200,
) -> HttpResponse:
    # A reloaded page gives its lease back as it goes, which may arrive after this request.
    item = next_item(project=project, by=request.user, anew=True)
    return _card(request, project, item, said=said, error=error, refused=refused, status=status)


def _card(
    request: Request,
    project: Project,
    item: ReviewItem | None,
    *,
    answer: Answer | None = None,
    said: str = "",
    error: str = "",
    refused: Answer | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of a rewrite, or its card alone for htmx; without a rewrite, why there is none."""
    page = review_page(item, request.user) if item else None
    draft = answer or (page.draft if page else None)
    context: dict[str, Any] = {
        "project": project,
        "page": page,
        "own": own_reviews.own(project, request.user),
        "closing": own_reviews.closing(project),
        "draft": draft,
        "changes": changes_of(item, draft),
        "ratings": rating_rows(item, draft.ratings if draft else {}) if item else [],
        "said": said,
        "error": error,
        "refused": refused,
    }
    if item is None:
        context["waits"] = open_stages(project).exists()
        context["why"] = nothing_left(project, request.user)
        context["skipped"] = own_reviews.skipped(project, request.user)
    template = "partials/_review_swap.html" if request.htmx else "review.html"
    return render(request, template, context, status=status)


def changes_of(item: ReviewItem | None, draft: Answer | ReviewDraft | None) -> dict[str, Any]:
    """What a written text changes in the suggestion; nothing where none is written."""
    if item is None or draft is None or not draft.text:
        return {}
    return {
        "pieces": inline_diff(item.prompt.text, draft.text),
        "distance": word_distance(item.prompt.text, draft.text),
    }


def rating_rows(item: ReviewItem, given: object) -> list[tuple[str, str, int | None]]:
    """Name, words and given value of each rating that the run asks for."""
    if not item.stage.config["review"].get("ratings", True):
        return []
    values = given if isinstance(given, dict) else {}
    return [(name, words, values.get(name)) for name, words in RATINGS.items()]


@require_POST
def draft(request: Request, slug: str, item_id: int) -> HttpResponse:
    """Keep what the person has written so far; when it was saved, and what the edit changes."""
    item = item_for(request, slug, item_id, Role.ANNOTATOR)
    answer = answer_in(request.POST)
    try:
        lease = lease_in(request.POST)
        saved = save_draft(item=item, by=request.user, answer=answer, lease=lease)
    except MoraError as error:
        return JsonResponse({"error": str(error)}, status=422)
    changes = changes_of(item, answer)
    html = render_to_string("partials/_changes.html", changes) if changes else ""
    return JsonResponse({"saved_at": saved.saved_at.isoformat(), "changes": html})


@require_POST
def hold(request: Request, slug: str, item_id: int) -> HttpResponse:
    """Heartbeat: renew the lease, or take the rewrite again where nobody has meanwhile."""
    item = item_for(request, slug, item_id, Role.ANNOTATOR)
    try:
        lease = hold_item(item=item, by=request.user, lease=lease_in(request.POST))
    except MoraError as error:
        return JsonResponse({"error": str(error)}, status=409)
    return JsonResponse({"lease": str(lease), "seconds": LEASE.total_seconds()})


@require_POST
def release(request: Request, slug: str, item_id: int) -> HttpResponse:
    item = item_for(request, slug, item_id, Role.ANNOTATOR)
    if lease := lease_in(request.POST):
        release_item(item=item, by=request.user, lease=lease)
    return HttpResponse(status=204)


@require_safe
def my_reviews(request: Request, slug: str) -> HttpResponse:
    """What the person said, newest first, with what may be taken back."""
    project = project_for(request, slug, Role.ANNOTATOR)
    decision = request.GET.get("decision", "")
    found = own_reviews.own_reviews(project, request.user, decision)
    context = {
        "project": project,
        "page": Paginator(found, PAGE).get_page(request.GET.get("page")),
        "drafts": own_reviews.drafts(project, request.user)[:PAGE],
        "own": own_reviews.own(project, request.user),
        "decision": decision,
        "decisions": Review.Decision.choices,
    }
    return render(request, "my_reviews.html", context)


def answer_in(data: QueryDict) -> Answer:
    """The answer of a form; rejecting and flagging have each a field for words of their own."""
    names = ("decision", "text", "reason")
    words = data.get(f"words.{data.get('decision', '')}", data.get("words", ""))
    return Answer(
        **{name: data.get(name, "") for name in names}, words=words, ratings=ratings_in(data)
    )


def ratings_in(data: QueryDict) -> dict[str, int]:
    """The ratings of a form, in fields `rating.NAME`; empty ones are none."""
    given = {k.removeprefix("rating."): str(v) for k, v in data.items() if k.startswith("rating.")}
    return {name: int(v) if v in tuple("12345") else 0 for name, v in given.items() if v}


def lease_in(data: QueryDict) -> UUID | None:
    with suppress(ValueError):
        return UUID(data.get("lease", ""))
    return None


def version_in(data: QueryDict) -> int | None:
    """The version of the guideline that a form was shown with, 0 for none."""
    given = data.get("guideline", "")
    return int(given) if given.isdecimal() and len(given) < 10 else None
