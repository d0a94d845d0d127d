"""The Pareto page of a project, and its table as CSV."""

import csv

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from alignment.queries.results import Interval
from alignment.queries.results_page import results_page
from alignment.views.access import Request, project_for
from alignment.views.csv_files import csv_file, text_cell


@require_safe
def results(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug)
    page = results_page(project, request.GET.dict())
    return render(request, "results.html", {"project": project, "page": page})


@require_safe
def results_csv(request: Request, slug: str) -> HttpResponse:
    """One line a policy and dimension; a figure that is undefined is empty."""
    project = project_for(request, slug)
    page = results_page(project, request.GET.dict())
    response = csv_file(f"{project.slug}-results")
    writer = csv.writer(response)
    figures = ("mean", "mean_low", "mean_high", "pass_rate", "pass_rate_low", "pass_rate_high")
    joint = ("joint_pass_rate", "joint_pass_rate_low", "joint_pass_rate_high")
    refused = ("refusal_rate", "refusal_rate_low", "refusal_rate_high")
    policy = (*joint, *refused, "hypervolume", "on_front")
    counts = ("prompts", "rollouts", "contribution", "evaluations", "apart")
    writer.writerow(["policy", "dimension", *figures, "n", "invalid", *policy, *counts])
    for point in page.shown.points if page.shown else []:
        row = point.row
        for name, f in row.rewards.items():
            means = (f.mean, *_ends(f.mean_ci))
            passes = (f.pass_rate, *_ends(f.pass_rate_ci))
            every = (row.joint_pass_rate, *_ends(row.joint_pass_rate_ci))
            declined = (f.refusal_rate, *_ends(f.refusal_rate_ci))
            whole = (*every, *declined, row.hypervolume, point.on_front)
            last = (row.prompts, row.rollouts, point.contribution, len(row.evaluations))
            names = (text_cell(row.name), text_cell(name))
            told = (*means, *passes, f.n, f.invalid, *whole, *last, point.apart)
            writer.writerow([*names, *told])
    return response


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return interval or (None, None)
