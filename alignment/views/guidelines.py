"""The guideline that reviewers go by: its versions, what changed between them, and a new one."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from alignment.method.errors import MoraError
from alignment.models import Guideline, Project, Role
from alignment.permissions import may, require
from alignment.queries.word_diff import inline_diff
from alignment.services.guidelines import publish_guideline
from alignment.views.access import Request, project_for


@require_http_methods(["GET", "HEAD", "POST"])
def guideline(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    text, error = None, ""
    if request.method == "POST":
        require(request.user, project, Role.RESEARCHER)
        text = request.POST.get("text", "")
        after = request.POST.get("after", "")
        number = int(after) if after.isdecimal() and len(after) < 10 else 0
        try:
            made = publish_guideline(project=project, text=text, by=request.user, after=number)
            messages.success(request, f"Version {made.version} is in force.")
            return redirect("guideline", slug)
        except MoraError as refused:
            error = str(refused)
    context = _context(request, project)
    context |= {"text": text, "error": error}
    return render(request, "guideline.html", context, status=422 if error else 200)


def _context(request: Request, project: Project) -> dict[str, object]:
    versions = list(project.guidelines.select_related("created_by"))
    shown = _asked(versions, request.GET.get("v")) or (versions[0] if versions else None)
    before = _asked(versions, request.GET.get("from"))
    return {
        "project": project,
        "versions": versions,
        "shown": shown,
        "before": before,
        "pieces": inline_diff(before.text, shown.text) if shown and before else [],
        "may_write": may(request.user, project, Role.RESEARCHER),
    }


def _asked(versions: list[Guideline], number: str | None) -> Guideline | None:
    if not number:
        return None
    for one in versions:
        if str(one.version) == number:
            return one
    raise Http404("no such version of the guideline")
