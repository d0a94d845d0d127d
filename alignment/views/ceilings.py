"""The Ceiling page of a project, and its figures as CSV."""

import csv

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from alignment.queries.ceiling_page import ceiling_page, rows_of
from alignment.views.access import Request, project_for


@require_safe
def ceiling(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    page = ceiling_page(project, request.GET.dict())
    status = 422 if page.shown and page.shown.errors else 200
    return render(request, "ceiling.html", {"project": project, "page": page}, status=status)


@require_safe
def ceiling_csv(request: Request, slug: str) -> HttpResponse:
    """One line a figure; what is undefined is empty."""
    project = project_for(request, slug)
    page = ceiling_page(project, request.GET.dict())
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{project.slug}-ceiling.csv"'
    writer = csv.writer(response)
    writer.writerow(["table", "of", "figure", "at", "value", "n"])
    writer.writerows(rows_of(page))
    return response
