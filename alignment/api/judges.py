"""Judges: look at them, edit their settings, and try one on texts of your own."""

from typing import Annotated, Any, Literal

from django.http import Http404
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from alignment.api.access import project_for
from alignment.api.auth import Request
from alignment.api.pages import After, Id, Limit, Page, Slug, page
from alignment.api.review_schemas import CoefficientOut
from alignment.api.schemas import Name, Strict
from alignment.method.errors import MoraError
from alignment.models import Judge, JudgeTrial, Project, Rewriter, Role
from alignment.queries import judge_quality, trials
from alignment.services import judges

router = Router(tags=["judges"])
Text = Annotated[str, Field(max_length=judges.MOST_TEXT, pattern="^[^\x00]*$")]


class JudgeOut(Schema):
    """`settings` are those of its engine; `version` goes up with every change of them."""

    id: int
    name: str
    dimension: str
    engine: str
    rule: str
    settings: dict[str, Any]
    use: str
    version: int

    @staticmethod
    def resolve_dimension(judge: Judge) -> str:
        return judge.dimension.name


class JudgeIn(Strict):
    """`rule` and `prompt_rule` name rules of the operator's list; `settings` are the engine's."""

    name: Name
    dimension: str
    engine: Literal["rules", "pattern", "rubric", "reward", "guard", "mc2"]
    rule: str = Field("", max_length=100)
    prompt_rule: str = Field("", max_length=100)
    settings: dict[str, Any] = Field(default_factory=dict)
    use: Literal["pairing", "evaluation"] = "pairing"


class RewriterIn(Strict):
    name: Name
    settings: dict[str, Any]


class RewriterOut(Schema):
    """`version` goes up with every change of the settings."""

    id: int
    name: str
    settings: dict[str, Any]
    version: int


class SettingsIn(Strict):
    settings: dict[str, Any]


class ItemIn(Strict):
    """With `other` a rubric judge compares the two completions, shown in this order: the raw score
    is 1 where `completion` is better, 0.5 for a tie, 0 where `other` is."""

    prompt: Text
    completion: Text
    other: Text | None = None


class TrialIn(Strict):
    """Texts to judge, the completions of a sampling, or both; each `repeats` times."""

    items: list[ItemIn] = Field(default_factory=list, max_length=judges.MOST_ITEMS)
    sampling: int | None = Field(None, ge=1, lt=2**63)
    repeats: int = Field(1, ge=1, le=judges.MOST_REPEATS)


class JudgementOut(Schema):
    """`raw` is null where there is no valid score, for the `reason` given."""

    raw: float | None
    reply: str
    reason: str


class TrialRowOut(Schema):
    prompt: str
    completion: str
    other: str | None
    judgements: list[JudgementOut]


class TrialOut(Schema):
    """Poll until `state` is `done` or `failed`. `noise`: the judge's standard deviation about its
    own mean reward on the same text, null unless texts were judged twice or more."""

    id: int
    judge: str
    judge_version: int
    state: str
    error: str
    noise: float | None
    rows: list[TrialRowOut]

    @staticmethod
    def resolve_judge(trial: JudgeTrial) -> str:
        return trial.judge.name

    @staticmethod
    def resolve_noise(trial: JudgeTrial) -> float | None:
        return trials.repeat_noise(trial)

    @staticmethod
    def resolve_rows(trial: JudgeTrial) -> list[trials.TrialRow]:
        return trials.rows(trial)


class WithPeopleOut(Schema):
    """`labelled`: completions that both were asked about, of which the judge gave `invalid` no
    valid score; the four counts, `percent` and `kappa` are of verdicts by the bar, `alpha` of
    rewards."""

    labels: str
    labelled: int
    invalid: int
    both_pass: int
    judge_alone: int
    people_alone: int
    neither: int
    percent: CoefficientOut
    kappa: CoefficientOut
    alpha: CoefficientOut


@router.get("/projects/{slug}/judges", response=Page[JudgeOut])
def list_judges(
    request: Request, slug: Slug, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """The project's judges with their settings and templates."""
    found = project_for(request.auth, slug).judges.select_related("dimension")
    return page(found, after, limit)


@router.post("/projects/{slug}/judges", response={201: JudgeOut})
def add_judge(request: Request, slug: Slug, body: JudgeIn) -> Any:
    """Add a judge; what its settings leave out is filled in."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    dimension = project.dimensions.filter(name=body.dimension).first()
    if dimension is None:
        raise MoraError(f"no dimension {body.dimension!r} in this project")
    facts = body.model_dump(exclude={"dimension"})
    row = Judge(project=project, dimension=dimension, **facts)
    return Status(201, judges.keep(row=row, by=request.auth))


@router.put("/projects/{slug}/judges/{judge_id}/settings", response=JudgeOut)
def put_settings(request: Request, slug: Slug, judge_id: Id, body: SettingsIn) -> Any:
    """Give a judge other settings, such as another template; its version goes up."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    row = _judge(project, judge_id)
    return judges.edit_settings(row=row, settings=body.settings, by=request.auth)


@router.get("/projects/{slug}/rewriters", response=Page[RewriterOut])
def list_rewriters(
    request: Request, slug: Slug, after: After = None, limit: Limit = 50
) -> dict[str, Any]:
    """The project's rewriters with their templates; `sandbox` is there always and not listed."""
    return page(project_for(request.auth, slug).rewriters.all(), after, limit)


@router.post("/projects/{slug}/rewriters", response={201: RewriterOut})
def add_rewriter(request: Request, slug: Slug, body: RewriterIn) -> Any:
    """Add a rewriter; what its settings leave out is filled in."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    row = Rewriter(project=project, **body.model_dump())
    return Status(201, judges.keep(row=row, by=request.auth))


@router.put("/projects/{slug}/rewriters/{rewriter_id}/settings", response=RewriterOut)
def put_rewriter_settings(request: Request, slug: Slug, rewriter_id: Id, body: SettingsIn) -> Any:
    """Give a rewriter other settings, such as another template; its version goes up."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    row = get_object_or_404(project.rewriters.select_related("project"), pk=rewriter_id)
    return judges.edit_settings(row=row, settings=body.settings, by=request.auth)


@router.post("/projects/{slug}/judges/{judge_id}/trials", response={202: TrialOut})
def create_trial(request: Request, slug: Slug, judge_id: Id, body: TrialIn) -> Any:
    """Try the judge on texts. A worker does it: poll the trial."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    judge = _judge(project, judge_id)
    own = [_item(item) for item in body.items]
    sampled = [] if body.sampling is None else judges.items_of(project, body.sampling)
    sent = {*own}
    trial = judges.try_judge(
        judge=judge,
        items=[*own, *(item for item in sampled if item not in sent)][: judges.MOST_ITEMS],
        by=request.auth,
        repeats=body.repeats,
        sampling=body.sampling if sent <= {*sampled} else None,
    )
    return Status(202, trial)


@router.get("/projects/{slug}/judges/{judge_id}/agreement", response=list[WithPeopleOut])
def judge_agreement(request: Request, slug: Slug, judge_id: Id) -> Any:
    """How far the judge's present version agrees with people's imported labels on the same
    completions. A trial of a labelled `sampling` has it judge them."""
    return judge_quality.with_people(_judge(project_for(request.auth, slug), judge_id))


@router.get("/projects/{slug}/trials/{trial_id}", response=TrialOut)
def get_trial(request: Request, slug: Slug, trial_id: Id) -> Any:
    """A trial with what the judge said."""
    return _trial(project_for(request.auth, slug), trial_id)


@router.post("/projects/{slug}/trials/{trial_id}/fit", response=JudgeOut)
def fit_reference(request: Request, slug: Slug, trial_id: Id) -> Any:
    """Put a reward model on its dimension's scale by the quantiles of this trial's values."""
    project = project_for(request.auth, slug, Role.RESEARCHER)
    return judges.fit_reference(trial=_trial(project, trial_id), by=request.auth)


def _item(item: ItemIn) -> judges.Item:
    both = (item.prompt, item.completion)
    return both if item.other is None else (*both, item.other)


def _judge(project: Project, judge_id: int) -> Judge:
    found = project.judges.select_related("dimension", "project").filter(pk=judge_id).first()
    if found is None:
        raise Http404
    return found


def _trial(project: Project, trial_id: int) -> JudgeTrial:
    trials_ = JudgeTrial.objects.select_related("judge__dimension", "judge__project")
    found = trials_.filter(judge__project=project, pk=trial_id).first()
    if found is None:
        raise Http404
    return found
