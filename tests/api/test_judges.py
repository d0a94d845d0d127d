"""Judges over the API: settings, trials, and a scale from a trial."""

from django.test import Client

from alignment.models import Judge, JudgeTrial, Project
from alignment.services import judges
from tests.api.conftest import ClientOf, assert_problem

PATTERN = {"pattern": "step", "ignore_case": True, "found": 5.0, "absent": 1.0}
AT = "/api/v1/projects/sandbox"


def pattern_judge(project: Project) -> Judge:
    dimension = project.dimensions.get(name="helpful")
    judge = Judge(
        project=project, dimension=dimension, name="steps", engine="pattern", settings=PATTERN
    )
    judges.save(judge)
    return judge


def test_settings_are_read_and_changed(researcher: Client, project: Project) -> None:
    judge = pattern_judge(project)
    found = researcher.get(f"{AT}/judges").json()["items"][-1]
    assert (found["name"], found["settings"], found["version"]) == ("steps", PATTERN, 1)
    address = f"{AT}/judges/{judge.pk}/settings"
    body = {"settings": {**PATTERN, "found": 4.0}}
    changed = researcher.put(address, body, content_type="application/json")
    assert (changed.json()["settings"]["found"], changed.json()["version"]) == (4.0, 2)
    bad = researcher.put(address, {"settings": {}}, content_type="application/json")
    assert_problem(bad, 409)
    assert "pattern: Field required" in bad.json()["detail"]


def test_a_trial_is_asked_for_and_polled(researcher: Client, project: Project) -> None:
    judge = pattern_judge(project)
    address = f"{AT}/judges/{judge.pk}/trials"
    body = {"items": [{"prompt": "How?", "completion": "First step."}], "repeats": 2}
    asked = researcher.post(address, body, content_type="application/json")
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    trial = JudgeTrial.objects.get()
    judges.end_trial(trial, results=[[{"raw": 5.0, "reply": "5", "reason": "found"}]] * 2)
    found = researcher.get(f"{AT}/trials/{trial.pk}").json()
    assert (found["state"], found["noise"]) == ("done", 0.0)
    assert [j["raw"] for j in found["rows"][0]["judgements"]] == [5.0, 5.0]
    fit = researcher.post(f"{AT}/trials/{trial.pk}/fit")
    assert_problem(fit, 409)
    for odd in (
        {"items": [{"prompt": "p", "completion": "c", "other": "d"}]},
        {"items": []},
        {"sampling": 999},
        {"items": body["items"], "repeats": 11},
    ):
        sent = researcher.post(address, odd, content_type="application/json")
        assert_problem(sent, 422 if "repeats" in odd else 409)


def test_trials_are_for_researchers_of_the_project(client_of: ClientOf, project: Project) -> None:
    judge = pattern_judge(project)
    body = {"items": [{"prompt": "p", "completion": "c"}]}
    for who, status in (("viewer", 403), ("outsider", 404), ("nobody", 401)):
        address = f"{AT}/judges/{judge.pk}/trials"
        sent = client_of(who).post(address, body, content_type="application/json")
        assert_problem(sent, status)
    assert not JudgeTrial.objects.exists()
