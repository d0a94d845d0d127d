"""The review queue, one rewrite at a time."""

from contextlib import suppress
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from alignment.method.errors import MoraError
from alignment.models import Role
from alignment.queries.reviews import review_page
from alignment.services.answers import Answer, BadAnswer
from alignment.services.queue import next_item
from alignment.services.reviews import decide_rewrite
from alignment.views.access import Request, item_for, project_for


@require_safe
def review(request: Request, slug: str) -> HttpResponse:
    """The next rewrite to decide, leased to the person."""
    project = project_for(request, slug, Role.ANNOTATOR)
    item = next_item(project=project, by=request.user)
    page = review_page(item, request.user) if item else None
    context = {"project": project, "page": page, "draft": page and page.draft}
    return render(request, "review.html", context)


@require_POST
def decide(request: Request, slug: str, item_id: int) -> HttpResponse:
    item = item_for(request, slug, item_id, Role.ANNOTATOR)
    answer = answer_in(request.POST)
    try:
        decide_rewrite(item=item, by=request.user, answer=answer, lease=lease_in(request.POST))
    except BadAnswer as error:
        project, page = item.stage.run.project, review_page(item, request.user)
        context = {"project": project, "page": page, "draft": answer, "error": str(error)}
        return render(request, "review.html", context, status=422)
    except MoraError as error:
        messages.error(request, str(error))
    return redirect("review", slug)


def answer_in(data: QueryDict) -> Answer:
    names = ("decision", "text", "reason", "words")
    return Answer(**{name: data.get(name, "") for name in names}, ratings=ratings_in(data))


def ratings_in(data: QueryDict) -> dict[str, int]:
    """The ratings of a form, in fields `rating.NAME`; empty ones are none."""
    given = {k.removeprefix("rating."): str(v) for k, v in data.items() if k.startswith("rating.")}
    return {name: "012345".find(v) for name, v in given.items() if v}


def lease_in(data: QueryDict) -> UUID | None:
    with suppress(ValueError):
        return UUID(data.get("lease", ""))
    return None
