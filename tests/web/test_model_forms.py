"""Researchers add policies, judges and rewriters, and edit their templates."""

import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from alignment.models import Judge, Policy, Project, Rewriter
from mora_web.endpoints import Endpoint

MODEL = {"engine": "endpoint", "endpoint": "here", "model": "m"}


@pytest.fixture(autouse=True)
def here(settings: Settings) -> None:
    settings.ENDPOINTS = {"here": Endpoint(url="http://127.0.0.1:9/v1")}


def posted(client: Client, page: str, project: Project, *more: int, **data: object) -> HttpResponse:
    return client.post(reverse(page, args=[project.slug, *more]), data)


def fields_of(page: HttpResponse) -> dict[str, object]:
    """What the form of a page would send unchanged."""
    form = page.context["form"]
    return {name: form[name].value() for name in form.fields if form[name].value() is not None}


def test_a_policy_in_a_folder_or_at_an_endpoint_is_added(
    researcher: Client, project: Project, artifacts: Path
) -> None:
    folder = project.policies.get(name="start").folder
    assert posted(researcher, "new-policy", project, name="mine", folder=folder).status_code == 302
    data = {"name": "far", "endpoint": "here", "served_as": "m"}
    assert posted(researcher, "new-policy", project, **data).status_code == 302
    assert Policy.objects.get(name="far").served_as == "m"
    page = researcher.get(reverse("policies", args=[project.slug])).content.decode()
    assert "mine" in page and "m at here" in page


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"name": "new"}, "name a model&#x27;s folder, or an endpoint"),
        ({"name": "new", "folder": "gone"}, "is gone"),
        ({"name": "new", "folder": "."}, "holds no config.json"),
        ({"name": "start", "folder": "model"}, "already exists"),
        ({"name": "new", "endpoint": "elsewhere", "served_as": "m"}, "Select a valid choice"),
        ({"name": "new", "endpoint": "here"}, "go together"),
    ],
)
def test_a_policy_that_cannot_be_sampled_is_refused(
    researcher: Client, project: Project, data: dict[str, str], told: str
) -> None:
    if "folder" in data and data["folder"] == "model":
        data = {**data, "folder": project.policies.get(name="start").folder}
    page = posted(researcher, "new-policy", project, **data)
    assert page.status_code == 422
    assert told in page.content.decode()
    assert project.policies.count() == 1


def test_a_judges_templates_are_edited_each_in_its_field(
    researcher: Client, project: Project
) -> None:
    dimension = project.dimensions.get(name="helpful")
    data = {"name": "rubric", "dimension": dimension.pk, "use": "pairing", "engine": "rubric"}
    made = posted(researcher, "new-judge", project, **data, settings=json.dumps({"model": MODEL}))
    judge = Judge.objects.get(name="rubric")
    assert made["Location"] == reverse("judge", args=[project.slug, judge.pk])
    page = researcher.get(reverse("edit-judge", args=[project.slug, judge.pk]))
    shown = fields_of(page)
    assert shown["text:template"] == judge.settings["template"]
    assert "template" not in json.loads(str(shown["settings"]))

    posted(researcher, "edit-judge", project, judge.pk, **shown)
    judge.refresh_from_db()
    assert judge.version == 1, "saved as it was"
    text = "Is this of use?\r\n{prompt}\r\n{completion}"
    posted(researcher, "edit-judge", project, judge.pk, **{**shown, "text:template": text})
    judge.refresh_from_db()
    assert (judge.version, judge.settings["template"]) == (2, text.replace("\r\n", "\n"))
    bad = posted(researcher, "edit-judge", project, judge.pk, **{**shown, "text:template": "none"})
    assert bad.status_code == 422 and "must hold {completion}" in bad.content.decode()


def test_a_rewriters_intents_are_edited_each_in_its_field(
    researcher: Client, project: Project
) -> None:
    settings = json.dumps({"model": MODEL})
    assert (
        posted(researcher, "new-rewriter", project, name="w", settings=settings).status_code == 302
    )
    rewriter = Rewriter.objects.get(name="w")
    page = researcher.get(reverse("edit-rewriter", args=[project.slug, rewriter.pk]))
    shown = {**fields_of(page), "text:intents.harmless": "keep it safe for all"}
    posted(researcher, "edit-rewriter", project, rewriter.pk, **shown)
    rewriter.refresh_from_db()
    assert rewriter.settings["intents"]["harmless"] == "keep it safe for all"
    assert (rewriter.version, set(rewriter.settings["templates"])) == (
        2,
        {"fuse", "elaborate", "paraphrase"},
    )
    again = posted(researcher, "new-rewriter", project, name="w", settings=settings)
    assert again.status_code == 422 and "already exists" in again.content.decode()


@pytest.mark.parametrize("text", ["[1]", '{"model": 3}', "{", '{"model": "\\u0000"}', "7"])
def test_settings_that_cannot_be_are_refused_with_the_field(
    researcher: Client, project: Project, text: str
) -> None:
    page = posted(researcher, "new-rewriter", project, name="w", settings=text)
    assert page.status_code == 422
    assert not project.rewriters.exists()


def test_the_api_adds_the_same(researcher: Client, project: Project) -> None:
    base = f"/api/v1/projects/{project.slug}"

    def send(what: str, body: object) -> tuple[int, dict[str, object]]:
        reply = researcher.post(f"{base}/{what}", body, "application/json")
        return reply.status_code, reply.json()

    status, made = send("policies", {"name": "far", "endpoint": "here", "served_as": "m"})
    assert (status, made["endpoint"], made["sha256"]) == (201, "here", "")
    assert send("policies", {"name": "none"})[0] == 409
    settings = {"model": MODEL}
    judge = {"name": "r", "dimension": "helpful", "engine": "rubric", "settings": settings}
    status, made = send("judges", judge)
    assert status == 201 and "{completion}" in str(made["settings"])
    assert send("judges", {**judge, "dimension": "beauty"})[0] == 409
    assert send("judges", judge)[0] == 409, "the name is taken"
    status, made = send("rewriters", {"name": "w", "settings": settings})
    assert status == 201
    changed = {"settings": {**settings, "temperature": 0.1}}
    url = f"{base}/rewriters/{made['id']}/settings"
    assert researcher.put(url, changed, "application/json").json()["version"] == 2
    listed = researcher.get(f"{base}/rewriters").json()["items"]
    assert [row["name"] for row in listed] == ["w"]


def test_prompts_are_imported_from_a_file_that_is_sent(
    researcher: Client, project: Project
) -> None:
    def file(text: str, name: str = "own.csv") -> SimpleUploadedFile:
        return SimpleUploadedFile(name, text.encode())

    good = "text,topic\nHow do I mend a sail?,boats\nHow do I fell a tree?,woods\n"
    data = {"file": file(good), "set_name": "own", "column": "text"}
    page = posted(researcher, "import-prompts", project, **data)
    assert page.status_code == 200 and "2 prompts imported" in page.content.decode()
    assert project.prompt_sets.get(name="own").prompts.count() == 2
    again = posted(researcher, "import-prompts", project, **{**data, "file": file(good)})
    assert again.status_code == 422 and "Bad rows" in again.content.decode()

    def send(**fields: object) -> HttpResponse:
        return researcher.post(f"/api/v1/projects/{project.slug}/prompts/import", fields)

    made = send(file=file('{"prompt": "How do I sew?"}\n', "p.jsonl"), set_name="more")
    assert made.json() == {"imported": 1, "bad": 0, "problems": [], "notes": []}
    assert send(file=file(good), set_name="own").status_code == 422
    assert send(file=file(""), set_name="own").status_code == 422
    assert send(file=file(good), set_name="").status_code == 422
