"""The form that configures a run, creates it, and starts it."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from alignment.forms import RunForm
from alignment.method.errors import MoraError
from alignment.models import Project, Role, Run
from alignment.run_values import Values, defaults, flat, free_name, with_rounds_changed
from alignment.services import runs
from alignment.views.access import Request, project_for


@require_http_methods(["GET", "HEAD", "POST"])
def new_run(request: Request, slug: str) -> HttpResponse:
    project = project_for(request, slug, Role.RESEARCHER)
    if request.method != "POST":
        return _page(request, RunForm(project, values=_values(request, project)))
    form = RunForm(project, data=request.POST)
    if change := request.POST.get("change"):
        values = with_rounds_changed(form.values(), change)
        return _page(request, RunForm(project, values=values))
    if form.is_valid():
        asked = runs.warnings(project, form.config) if form.config else []
        if asked and "confirmed" not in request.POST:
            return _page(request, form, asked)
        if run := _create(request, form):
            return redirect("run", slug, run.pk)
    return _page(request, form, status=422)


def _values(request: Request, project: Project) -> Values:
    """Of the run that is cloned, else the project's defaults."""
    source = request.GET.get("from", "")
    if source.isdecimal() and (run := project.runs.filter(pk=source).first()):
        return {**flat(run.config), "name": free_name(project)}
    return defaults(project)


def _create(request: Request, form: RunForm) -> Run | None:
    assert form.config is not None, "a valid form has a configuration"
    name = form.cleaned_data["name"]
    try:
        run = runs.create_run(project=form.project, name=name, config=form.config, by=request.user)
    except MoraError as error:
        form.add_error("name", str(error))
        return None
    if request.POST.get("action") != "create":
        runs.start_run(run=run, by=request.user)
    return run


def _page(
    request: Request, form: RunForm, warnings: list[str] | None = None, status: int = 200
) -> HttpResponse:
    context = {"project": form.project, "form": form, "warnings": warnings or []}
    return render(request, "run_form.html", context, status=status)
