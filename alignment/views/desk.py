"""The review desk as those see it who lead it: progress, disputes, agreement, what may go on."""

import csv
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alignment.method.errors import MoraError
from alignment.models import Project, Review, Role, Stage
from alignment.permissions import may
from alignment.queries import agreement, desk, own_reviews
from alignment.queries.reviews import review_page
from alignment.queries.word_diff import inline_diff
from alignment.services.answers import Answer, BadAnswer
from alignment.services.imports import Imported, problems_of
from alignment.services.reruns import close_review_now, rerun_from, rerun_plan
from alignment.services.reviews import adjudicate, undo_review
from alignment.services.uploads import MOST_MB, send_reviews
from alignment.views.access import Request, item_for, project_for
from alignment.views.csv_files import csv_file
from alignment.views.reviews import answer_in, changes_of, rating_rows

SETTLED = {"approve": "Approved.", "edit": "Edited and approved.", "reject": "Rejected."}


def stage_asked(request: Request, project: Project) -> Stage | None:
    """The review stage that the address names, else the open one with the most disputes, else the
    first; raises Http404 for another's."""
    stages = desk.review_stages(project)
    asked = request.GET.get("stage") or request.POST.get("stage") or ""
    if not asked:
        return desk.disputed_stages(project).first() or stages.first()
    found = stages.filter(pk=asked).first() if asked.isdecimal() and len(asked) < 19 else None
    if found is None:
        raise Http404("no such review stage in this project")
    return found


@require_safe
def desk_page(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug, Role.ADJUDICATOR)
    return _desk(request, project, stage_asked(request, project))


def _desk(
    request: Request,
    project: Project,
    stage: Stage | None,
    done: Imported | None = None,
    error: MoraError | None = None,
) -> HttpResponse:
    """The desk of a stage, with what an import of a file into it did or why it did nothing."""
    context = {
        "project": project,
        "stages": desk.review_stages(project)[:50],
        "stage": stage,
        "progress": desk.progress(stage) if stage else None,
        "leases": desk.leases(project, stage),
        "hours": desk.throughput(stage) if stage else [],
        "may_run": may(request.user, project, Role.RESEARCHER),
        "done": done,
        "error": error,
        "problems": problems_of(done, error),
        "most_mb": MOST_MB,
    }
    return render(request, "desk.html", context, status=422 if error else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def import_file(request: Request, slug: str) -> HttpResponse:
    """Decisions made elsewhere, from a file into an open review; looked at again, the desk."""
    project = project_for(request, slug, Role.RESEARCHER)
    stage, file = stage_asked(request, project), request.FILES.get("file")
    if request.method != "POST":
        return redirect("desk", slug)
    try:
        if stage is None or file is None:
            raise MoraError("choose a file of decisions")
        skip_bad = bool(request.POST.get("skip_bad"))
        done = send_reviews(stage=stage, file=file, by=request.user, skip_bad=skip_bad)
    except MoraError as error:
        return _desk(request, project, stage, error=error)
    return _desk(request, project, stage, done)


@require_safe
def throughput_csv(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug, Role.ADJUDICATOR)
    stage = stage_asked(request, project)
    response = csv_file(f"{project.slug}-reviews-per-hour")
    writer = csv.writer(response)
    writer.writerow(["hour", "reviews"])
    writer.writerows((at.isoformat(), n) for at, n in (desk.throughput(stage) if stage else []))
    return response


@require_safe
def disputes(request: Request, slug: str) -> HttpResponse:
    """The rewrites that people see differently, or that somebody flagged."""
    project = project_for(request, slug, Role.ADJUDICATOR)
    stage = stage_asked(request, project)
    found = list(desk.disputes(stage)[:200]) if stage else []
    said = own_reviews.said_of(found)
    disputed = list(desk.disputed_stages(project)[:50])
    context = {
        "project": project,
        "stages": disputed if stage is None or stage in disputed else [stage, *disputed],
        "stage": stage,
        "rows": [(item, said.get(item.pk, [])) for item in found],
    }
    return render(request, "disputes.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def adjudication(request: Request, slug: str, item_id: int) -> HttpResponse:
    """One rewrite, who said what of it, and the word that settles it."""
    item = item_for(request, slug, item_id, Role.ADJUDICATOR)
    answer, error, status = None, "", 200
    if request.method == "POST":
        answer = answer_in(request.POST)
        try:
            adjudicate(item=item, by=request.user, answer=answer)
            messages.success(request, SETTLED[answer.decision])
            return _next_dispute(slug, item.stage, item.pk)
        except MoraError as refused:
            error, status = str(refused), 422 if isinstance(refused, BadAnswer) else 409
            item.refresh_from_db()
    context = _adjudication(request, item_id, slug, answer)
    return render(request, "adjudication.html", {**context, "error": error}, status=status)


def _adjudication(
    request: Request, item_id: int, slug: str, answer: Answer | None
) -> dict[str, object]:
    item = item_for(request, slug, item_id, Role.ADJUDICATOR)
    page = review_page(item, request.user)
    draft = answer or page.draft
    return {
        "project": item.stage.run.project,
        "page": page,
        "draft": draft,
        "changes": changes_of(item, draft),
        "reviews": [
            (r, inline_diff(item.prompt.text, r.edited_text) if r.edited_text else [])
            for r in page.reviews
        ],
        "settled": next((r for r in page.reviews if r.adjudicates), None),
        "ratings": rating_rows(item, draft.ratings if draft else {}),
        "questions": dict(Review.Question.choices),
    }


def _next_dispute(slug: str, stage: Stage, after: int) -> HttpResponse:
    following = desk.disputes(stage, after).first() or desk.disputes(stage).first()
    if following:
        return redirect("adjudicate", slug, following.pk)
    other = desk.disputed_stages(stage.run.project).first() or stage
    return redirect(address_of("disputes", slug, stage=other.pk))


def address_of(name: str, slug: str, **query: object) -> str:
    """The address of a page of the project, with what it is asked for."""
    return f"{reverse(name, args=[slug])}?{urlencode(query)}"


@require_POST
def undo_adjudication(request: Request, slug: str, item_id: int) -> HttpResponse:
    item = item_for(request, slug, item_id, Role.ADJUDICATOR)
    try:
        undo_review(item=item, by=request.user)
    except MoraError as error:
        messages.error(request, str(error))
    return redirect("adjudicate", slug, item_id)


@require_safe
def agreement_page(request: Request, slug: str) -> HttpResponse:
    """How far reviewers agree, per question and version of the guideline."""
    project = project_for(request, slug, Role.ADJUDICATOR)
    stage = stage_asked(request, project) if request.GET.get("stage") else None
    context = {
        "project": project,
        "stages": desk.review_stages(project)[:50],
        "stage": stage,
        "rows": agreement.review_agreement(project, stage),
        "elsewhere": agreement.elsewhere(project),
    }
    return render(request, "agreement.html", context)


@require_POST
def close_now(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug, Role.RESEARCHER)
    stage = stage_asked(request, project)
    try:
        if stage is not None:
            close_review_now(stage=stage, by=request.user)
    except MoraError as error:
        messages.error(request, str(error))
    return redirect("desk", slug)


@require_http_methods(["GET", "HEAD", "POST"])
def rerun(request: Request, slug: str) -> HttpResponse:
    """What a rerun from a closed review would run again, and why; and the rerun."""
    project = project_for(request, slug, Role.RESEARCHER)
    stage = stage_asked(request, project)
    if stage is None:
        raise Http404("no review stage in this project")
    context: dict[str, object] = {"project": project, "stage": stage, "plan": []}
    try:
        if request.method == "POST":
            run = rerun_from(stage=stage, by=request.user, name=request.POST.get("name", ""))
            return redirect("run", slug, run.pk)
        context["plan"] = rerun_plan(stage)
    except MoraError as error:
        context["error"] = str(error)
    return render(request, "rerun.html", context, status=409 if "error" in context else 200)
