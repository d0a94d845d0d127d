"""The review queue, one rewrite at a time."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from alignment.method.errors import MoraError
from alignment.models import Role
from alignment.queries import reviews
from alignment.services.reviews import decide_rewrite
from alignment.views.access import Request, item_for, project_for


@require_safe
def review(request: Request, slug: str) -> HttpResponse:
    """The next rewrite to decide; `?after=` passes over those up to it."""
    project = project_for(request, slug, Role.ANNOTATOR)
    after = request.GET.get("after", "")
    item = reviews.next_item(project, int(after) if after.isdecimal() and len(after) < 18 else 0)
    page = reviews.review_page(item, request.user.pk) if item else None
    return render(request, "review.html", {"project": project, "page": page})


@require_POST
def decide(request: Request, slug: str, item_id: int) -> HttpResponse:
    item = item_for(request, slug, item_id, Role.ANNOTATOR)
    said = {name: request.POST.get(name, "") for name in ("decision", "text", "reason")}
    project = item.stage.run.project
    try:
        decide_rewrite(item=item, by=request.user, **said)
    except MoraError as error:
        item.refresh_from_db(fields=("state",))
        if item.state == item.State.PENDING and item.stage.status == "waiting":
            page = reviews.review_page(item, request.user.pk)
            context = {"project": project, "page": page, "draft": said, "error": str(error)}
            return render(request, "review.html", context, status=422)
        messages.error(request, str(error))
    return redirect("review", slug)
