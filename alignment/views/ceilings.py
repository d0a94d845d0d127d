"""The Ceiling page of a project, and its figures as CSV."""

import csv

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from alignment.method.errors import MoraError
from alignment.models import Role, Stage
from alignment.queries.ceiling_page import COLUMNS, ceiling_page, rows_of
from alignment.services.ceilings import freeze_pooled_volume
from alignment.views.access import Request, project_for
from alignment.views.csv_files import csv_file, text_cell


@require_safe
def ceiling(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    page = ceiling_page(project, request.GET.dict())
    status = 422 if page.shown and page.shown.errors else 200
    return render(request, "ceiling.html", {"project": project, "page": page}, status=status)


@require_POST
def freeze(request: Request, slug: str, stage_id: int) -> HttpResponse:
    project = project_for(request, slug, Role.RESEARCHER)
    mine = get_object_or_404(Stage, run__project=project, kind="mine", pk=stage_id)
    try:
        freeze_pooled_volume(mine=mine, by=request.user)
    except MoraError as error:
        messages.error(request, str(error))
    return redirect(f"{reverse('ceiling', args=[slug])}?stage={stage_id}#before-after")


@require_safe
def ceiling_csv(request: Request, slug: str) -> HttpResponse:
    """One line a figure, with its 95 % interval; what is undefined is empty. A script reads no
    notice, so what the page chooses anew or says is wrong is refused here."""
    project = project_for(request, slug)
    page = ceiling_page(project, request.GET.dict())
    wanted = request.GET.get("stage", "")
    if wanted and not (page.shown and str(page.shown.stage.pk) == wanted):
        raise Http404("this stage has mined nothing here")
    if page.shown and page.shown.errors:
        told = "\n".join(page.shown.errors)
        return HttpResponse(told, status=422, content_type="text/plain; charset=utf-8")
    response = csv_file(f"{project.slug}-ceiling")
    writer = csv.writer(response)
    writer.writerow(COLUMNS)
    for row in rows_of(page):
        cells = [text_cell(cell) if isinstance(cell, str) else cell for cell in row]
        writer.writerow([*cells, *[""] * (len(COLUMNS) - len(row))])
    return response
