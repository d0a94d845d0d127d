"""A judge's page: its settings as they are, and a form that tries it on a text."""

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from alignment.method.errors import MoraError
from alignment.models import Judge, JudgeTrial, Project, Role
from alignment.permissions import may
from alignment.queries import judge_quality, trials
from alignment.services import judges
from alignment.services.readiness import judge_problem
from alignment.views.access import Request, project_for

LATEST = 10


@require_safe
def judge_page(request: Request, slug: str, judge_id: int) -> HttpResponse:
    project = project_for(request, slug)
    return _page(request, project, _judge(project, judge_id))


@require_POST
def try_judge(request: Request, slug: str, judge_id: int) -> HttpResponse:
    project = project_for(request, slug, Role.RESEARCHER)
    judge = _judge(project, judge_id)
    prompt, completion, other = (request.POST.get(n, "") for n in ("prompt", "completion", "other"))
    item = (prompt, completion, other) if other.strip() else (prompt, completion)
    try:
        labelled = request.POST.get("labelled", "")
        items, sampling = _labelled(judge, labelled) if labelled else ([item], None)
        trial = judges.try_judge(judge=judge, items=items, by=request.user, sampling=sampling)
    except MoraError as error:
        return _page(request, project, judge, error=str(error), item=item, status=422)
    return redirect(f"{reverse('judge', args=[slug, judge.pk])}?trial={trial.pk}#trial")


def _labelled(judge: Judge, asked: str) -> tuple[list[judges.Item], int]:
    """The texts of a sampling that people labelled, and its id; raises MoraError for none."""
    sampling = int(asked) if asked.isdecimal() and len(asked) < 19 else 0
    items: list[judges.Item] = [*judge_quality.labelled_texts(judge, sampling, judges.MOST_ITEMS)]
    if not items:
        raise MoraError(
            f"nobody labelled completions of that sampling on {judge.dimension.name}; choose one"
            " of the list"
        )
    return items, sampling


def _page(
    request: Request,
    project: Project,
    judge: Judge,
    error: str = "",
    item: judges.Item = ("", ""),
    status: int = 200,
) -> HttpResponse:
    asked = request.GET.get("trial", "")
    latest = judge.trials.select_related("judge__dimension").order_by("-pk")
    shown = latest.filter(pk=asked).first() if asked.isdecimal() and len(asked) < 19 else None
    typed = shown if shown and _is_own(shown, request.user) else None
    prompt, completion, *other = typed.items[0] if typed else item
    waits = shown is not None and shown.state in JudgeTrial.State.values[:2]
    can_try = judge.engine not in judges.CANNOT_TRY
    measured = can_try and not waits
    context = {
        "project": project,
        "judge": judge,
        "problem": judge_problem(judge, judge.use),
        "trial": shown,
        "is_covered": shown is not None and typed is None,
        "rows": trials.rows(shown)[:LATEST] if shown else [],
        "waits": waits,
        "noise": trials.repeat_noise(shown) if shown else None,
        "latest": latest.defer("items", "results")[:LATEST],
        "prompt": prompt,
        "completion": completion,
        "other": other[0] if other else "",
        "people": judge_quality.with_people(judge) if measured else [],
        "labelled": judge_quality.labelled(judge) if measured else [],
        "most_labelled": judges.MOST_ITEMS,
        "compares": judge.engine == Judge.Engine.RUBRIC,
        "error": error,
        "may_edit": may(request.user, project, Role.RESEARCHER),
        "can_try": can_try,
        "may_try": can_try and may(request.user, project, Role.RESEARCHER),
    }
    return render(request, "judge.html", context, status=status)


def _is_own(trial: JudgeTrial, user: User) -> bool:
    """Whether the trial is of one text that this person wrote; what others sent, many texts, and
    those of rollouts stay covered."""
    alone = trial.sampling_id is None and len(trial.items) == 1
    return alone and trial.asked_by_id == user.pk


def _judge(project: Project, judge_id: int) -> Judge:
    return get_object_or_404(project.judges.select_related("dimension", "project"), pk=judge_id)
