"""Pages on which researchers add policies, and add and edit judges and rewriters."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from alignment.method.errors import MoraError
from alignment.model_forms import JudgeForm, PolicyForm, RewriterForm, SettingsForm
from alignment.models import Project, Role
from alignment.services import judges, policies
from alignment.views.access import Request, project_for

read_or_write = require_http_methods(["GET", "HEAD", "POST"])


@read_or_write
def new_policy(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug, Role.RESEARCHER)
    form = PolicyForm(project, request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = {name: form.cleaned_data[name] for name in form.Meta.fields}
        try:
            policies.add_policy(project=project, by=request.user, **given)
            return redirect("policies", slug)
        except MoraError as error:
            form.add_error(None, str(error))
    return _page(request, project, form, "New policy", "policies")


@read_or_write
def judge_form(request: Request, slug: str, judge_id: int | None = None) -> HttpResponse:
    project = project_for(request, slug, Role.RESEARCHER)
    judge = get_object_or_404(project.judges, pk=judge_id) if judge_id else None
    form = JudgeForm(project, request.POST or None, instance=judge)
    return _edit(request, project, form, f"Judge {judge}" if judge else "New judge")


@read_or_write
def rewriter_form(request: Request, slug: str, rewriter_id: int | None = None) -> HttpResponse:
    project = project_for(request, slug, Role.RESEARCHER)
    rewriter = get_object_or_404(project.rewriters, pk=rewriter_id) if rewriter_id else None
    form = RewriterForm(project, request.POST or None, instance=rewriter)
    return _edit(request, project, form, f"Rewriter {rewriter}" if rewriter else "New rewriter")


def _edit(request: Request, project: Project, form: SettingsForm, title: str) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        try:
            row = judges.keep(row=form.instance, by=request.user)
        except MoraError as error:  # somebody else was first
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Saved {row}, version {row.version}.")
            if isinstance(form, JudgeForm):
                return redirect("judge", project.slug, row.pk)
            return redirect("edit-rewriter", project.slug, row.pk)
    return _page(request, project, form, title, "dimensions")


def _page(request: Request, project: Project, form: Any, title: str, back: str) -> HttpResponse:
    status = 422 if form.errors else 200
    context = {"project": project, "form": form, "title": title, "back": back}
    return render(request, "model_form.html", context, status=status)
