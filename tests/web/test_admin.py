"""The admin: operators set projects up and look everything up; what runs wrote stays as it is."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from alignment.models import Project, Run
from tests.web.conftest import add_evaluation

OURS = [model for model in admin.site._registry if model._meta.app_label == "alignment"]
EDITED = {"project", "judge", "rewriter", "policy", "promptset"}


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def full(waiting: Run) -> Run:
    scores = {"helpful": [2.0] * 4, "harmless": [1.0] * 4, "truthful": [0.5] * 4}
    add_evaluation(waiting.project, "evaluated", scores)
    return waiting


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.model_name)
def test_every_list_and_every_row_opens(model: type, operator: Client, full: Run) -> None:
    name = f"admin:alignment_{model._meta.model_name}"  # type: ignore[attr-defined]
    assert operator.get(reverse(f"{name}_changelist"), {"q": "a"}).status_code in (200, 302)
    assert operator.get(reverse(f"{name}_changelist")).status_code == 200
    row = model.objects.first()  # type: ignore[attr-defined]
    if row is not None:
        assert operator.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.model_name)
def test_what_runs_wrote_cannot_be_changed(model: type, operator: Client, full: Run) -> None:
    name = str(model._meta.model_name)  # type: ignore[attr-defined]
    status = operator.get(reverse(f"admin:alignment_{name}_add")).status_code
    assert status == (200 if name in EDITED else 403)


def test_a_project_is_made_with_its_dimensions_and_members(
    operator: Client, people: dict[str, User]
) -> None:
    inlines = {}
    for prefix in ("memberships", "dimensions"):
        inlines |= {f"{prefix}-TOTAL_FORMS": 1, f"{prefix}-INITIAL_FORMS": 0}
    values = {
        "name": "New",
        "slug": "new",
        "description": "",
        **inlines,
        "memberships-0-user": people["outsider"].pk,
        "memberships-0-role": "owner",
        "dimensions-0-name": "brief",
        "dimensions-0-position": 0,
        "dimensions-0-scale_low": 0,
        "dimensions-0-scale_high": 1,
        "dimensions-0-bar": 0.5,
    }
    assert operator.post(reverse("admin:alignment_project_add"), values).status_code == 302
    made = Project.objects.get(slug="new")
    assert made.dimensions.get().name == "brief"
    assert made.memberships.get().user == people["outsider"]


def test_the_admin_is_for_operators_only(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["owner"])
    assert client.get(reverse("admin:alignment_run_changelist")).status_code == 302


def test_a_judge_that_a_run_is_at_work_with_is_not_changed(operator: Client, full: Run) -> None:
    judge = full.project.judges.get(name=full.config["judges"]["helpful"])
    address = reverse("admin:alignment_judge_change", args=[judge.pk])
    values = {
        "project": judge.project_id,
        "dimension": judge.dimension_id,
        "name": judge.name,
        "engine": judge.engine,
        "rule": "another",
        "prompt_rule": "",
        "settings": "{}",
        "use": judge.use,
    }
    page = operator.post(address, values)
    assert page.status_code == 200 and "is at work with" in page.content.decode()
    judge.refresh_from_db()
    assert (judge.rule, judge.version) == ("sandbox-helpful", 1)
    assert (
        operator.post(address, {**values, "rule": judge.rule, "use": "evaluation"}).status_code
        == 302
    )


def test_what_runs_name_and_stand_on_stays_as_it_is(operator: Client, full: Run) -> None:
    policy = full.project.policies.get(name="start")
    prompts = full.project.prompt_sets.get(name="mixed")
    for kind, row in (("policy", policy), ("promptset", prompts)):
        page = operator.get(reverse(f"admin:alignment_{kind}_change", args=[row.pk]))
        assert 'name="name"' not in page.content.decode()
    page = operator.get(reverse("admin:alignment_project_change", args=[full.project.pk]))
    assert 'name="dimensions-0-scale_low"' not in page.content.decode()
    judge = full.project.judges.get(name="sandbox-helpful")
    assert operator.get(reverse("admin:alignment_judge_delete", args=[judge.pk])).status_code == 403
