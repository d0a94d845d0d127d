"""A run by the API: checked, created, started, watched, cancelled, retried."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from alignment import lifecycle
from alignment.models import Project, Run, Stage, Status
from tests.api.conftest import assert_problem, config, get, post
from tests.builders import make_run

RUNS = "/projects/sandbox/runs"


def test_a_run_is_created_and_found_at_its_address(researcher: Client) -> None:
    response = post(researcher, RUNS, {"name": " first ", "config": config()})
    assert response.status_code == 201
    made = response.json()
    run = Run.objects.get()
    assert response["Location"] == f"/api/v1/runs/{run.pk}"
    assert made == get(researcher, f"/runs/{run.pk}").json()
    assert (made["name"], made["status"], made["project"]) == ("first", "pending", "sandbox")
    assert (made["created_by"], made["seq"]) == ("a-researcher", 1)
    assert made["config"] == config()
    stages = get(researcher, f"/runs/{run.pk}/stages").json()
    assert [s["kind"] for s in stages][:3] == ["evaluate", "sample", "score"]
    assert {s["status"] for s in stages} == {"pending"}


def test_a_run_is_started_watched_cancelled_and_retried(researcher: Client) -> None:
    made = post(researcher, RUNS, {"name": "r", "config": config(), "start": True}).json()
    assert made["status"] == "queued"
    address = f"/runs/{made['id']}"
    assert post(researcher, f"{address}/start").json()["status"] == "queued"
    assert_problem(post(researcher, f"{address}/retry"), 409)
    cancelled = post(researcher, f"{address}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert post(researcher, f"{address}/cancel").json()["status"] == "cancelled"
    again = post(researcher, f"{address}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "queued")


def test_events_are_read_on_from_where_one_was(researcher: Client, run: Run) -> None:
    address = f"/runs/{run.pk}/events"
    first = get(researcher, address).json()
    assert [(e["seq"], e["kind"], e["data"]) for e in first["items"]] == [
        (1, "run", {"status": "pending"})
    ]
    assert (first["next"], first["ended"]) == (1, False)
    assert get(researcher, address, after=1).json() == {"items": [], "next": 1, "ended": False}
    post(researcher, f"/runs/{run.pk}/start")
    post(researcher, f"/runs/{run.pk}/cancel")
    seen, after = [], 1
    while not (part := get(researcher, address, after=after, limit=2).json())["ended"]:
        assert len(part["items"]) == 2
        seen += part["items"]
        after = part["next"]
    seen += part["items"]
    assert [e["seq"] for e in seen] == list(range(2, Run.objects.get().seq + 1))


def test_a_run_that_goes_on_after_its_last_event_read_has_not_ended(
    researcher: Client, run: Run
) -> None:
    lifecycle.cancel(run)
    assert get(researcher, f"/runs/{run.pk}/events", limit=1).json()["ended"] is False
    assert get(researcher, f"/runs/{run.pk}/events").json()["ended"] is True


def test_a_name_that_is_taken_is_a_conflict_and_finds_its_run(researcher: Client, run: Run) -> None:
    body = {"name": run.name, "config": config()}
    assert "already" in assert_problem(post(researcher, RUNS, body), 409)["detail"]
    found = get(researcher, RUNS, name=run.name).json()["items"]
    assert [item["id"] for item in found] == [run.pk]
    assert get(researcher, RUNS, name="other").json()["items"] == []


def test_runs_are_listed_newest_first_in_parts(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    made = [make_run(project, people["owner"], name=f"r{i}").pk for i in range(5)]
    seen, query = [], {"limit": 2}
    while True:
        part = get(researcher, RUNS, **query).json()
        seen += [item["id"] for item in part["items"]]
        if part["next"] is None:
            break
        query = {"limit": 2, "after": part["next"]}
    assert seen == made[::-1]


def test_a_configuration_is_checked_without_creating_anything(researcher: Client) -> None:
    address = "/projects/sandbox/run-validations"
    whole = config()
    assert post(researcher, address, {"config": whole}).json() == {"errors": {}, "warnings": []}
    whole["evaluate"]["judges"]["helpful"] = whole["judges"]["helpful"]
    checked = post(researcher, address, {"config": whole}).json()
    assert checked["errors"] == {}
    assert "both pairs and evaluates" in checked["warnings"][0]
    whole["policy"] = "none"
    whole["rounds"][0]["prompts"] = "no set"
    checked = post(researcher, address, {"config": whole}).json()
    assert set(checked["errors"]) == {"policy", "rounds.0.prompts"}
    whole["sample"]["n"] = 0
    checked = post(researcher, address, {"config": whole}).json()
    assert set(checked["errors"]) == {"sample.n"}
    assert not Run.objects.exists()


def changed(path: str, value: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"name": "r", "config": config()}
    *holders, last = path.split(".")
    inner = body
    for holder in holders:
        inner = inner[holder]
    inner[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("name", "", "name"),
        ("name", "x" * 101, "name"),
        ("name", 5, "name"),
        ("extra", 1, "extra"),
        ("config.seed", 2**63, "config.seed"),
        ("config.seed", -1, "config.seed"),
        ("config.sample.n", 10**30, "config.sample.n"),
        ("config.train.beta", 0, "config.train.beta"),
        ("config.judges", {}, "config"),
        ("config.policy", "none", "config.policy"),
        ("config.unknown", 1, "config.unknown"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_by_its_path(
    researcher: Client, path: str, value: Any, told: str
) -> None:
    problem = assert_problem(post(researcher, RUNS, changed(path, value)), 422)
    assert [error["path"] for error in problem["errors"]] == [told]
    assert not Run.objects.exists()


def test_stages_that_reuse_others_say_so(
    researcher: Client, run: Run, people: dict[str, User]
) -> None:
    source = run.stages.order_by("position")[0]
    again = make_run(run.project, people["owner"], name="again")
    reused = again.stages.order_by("position")[0]
    Stage.objects.filter(pk=reused.pk).update(reused_from=source, status=Status.SUCCEEDED)
    first = get(researcher, f"/runs/{again.pk}/stages").json()[0]
    assert (first["id"], first["reused_from"]) == (reused.pk, source.pk)


def test_a_sweep_is_a_run_for_each_share_largest_first(researcher: Client) -> None:
    body = {"name": "scale", "config": config(), "shares": [0.25, 1.0]}
    made = post(researcher, "/projects/sandbox/sweeps", body)
    assert made.status_code == 201
    assert [r["name"] for r in made.json()] == ["scale 100%", "scale 25%"]
    shares = Run.objects.order_by("pk").values_list("config__train__pairs_share", flat=True)
    assert list(shares) == [1.0, 0.25]
    odd = post(researcher, "/projects/sandbox/sweeps", {**body, "shares": [0.5, 1.5]})
    assert odd.status_code in (409, 422) and Run.objects.count() == 2
    again = post(researcher, "/projects/sandbox/sweeps", {**body, "shares": [0.5, 0.25]})
    assert again.status_code == 409 and Run.objects.count() == 2, "one name is taken: none is made"
