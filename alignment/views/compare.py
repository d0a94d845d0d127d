"""The Compare page of a project, and its figures as CSV."""

import csv

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from alignment.queries.compare_page import compare_page
from alignment.queries.compare_rows import HEAD, rows_of
from alignment.views.access import Request, project_for
from alignment.views.csv_files import csv_file, text_cell


@require_safe
def compare(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    page = compare_page(project, request.GET.dict(), request.GET.getlist("arm"))
    return render(request, "compare.html", {"project": project, "page": page})


@require_safe
def compare_csv(request: Request, slug: str) -> HttpResponse:
    """One line a figure; what is undefined is empty."""
    project = project_for(request, slug)
    response = csv_file(f"{project.slug}-compare")
    writer = csv.writer(response)
    writer.writerow(HEAD)
    page = compare_page(project, request.GET.dict(), request.GET.getlist("arm"))
    for table, arm, *rest in rows_of(page):
        writer.writerow([table, text_cell(arm), *rest])
    return response
