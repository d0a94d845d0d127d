"""Every address with every method, by everybody: who is answered, and with what."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from alignment.models import Run
from mora_web.endpoints import Endpoint
from tests.api.conftest import ClientOf, assert_problem, config

PROJECT, RUN = "/projects/sandbox", "/runs/{run}"
READS = [
    PROJECT,
    f"{PROJECT}/prompt-sets",
    f"{PROJECT}/policies",
    f"{PROJECT}/evaluations",
    f"{PROJECT}/pareto",
    f"{PROJECT}/compare",
    f"{PROJECT}/runs",
    f"{PROJECT}/judges",
    f"{PROJECT}/rewriters",
    RUN,
    f"{RUN}/stages",
    f"{RUN}/events",
    f"{RUN}/rollouts",
    f"{RUN}/attempts",
    f"{RUN}/pairs",
]
MODEL = {"engine": "endpoint", "endpoint": "here", "model": "m"}
# Address, the status for who may, and the least role.
ADDS = {  # and to what a project has none of
    "policies": {"name": "new", "folder": "model"},
    "judges": {"name": "new", "dimension": "helpful", "engine": "rules", "rule": "refusal"},
    "rewriters": {"name": "new", "settings": {"model": MODEL}},
}
WRITES = [
    *((f"{PROJECT}/{what}", 201, "researcher") for what in ADDS),
    (f"{PROJECT}/run-validations", 200, "viewer"),
    (f"{PROJECT}/runs", 201, "researcher"),
    (f"{RUN}/start", 202, "researcher"),
    (f"{RUN}/cancel", 202, "researcher"),
    (f"{RUN}/retry", 409, "researcher"),  # a pending run cannot be retried
]
ROLES = ["nobody", "outsider", "viewer", "annotator", "adjudicator", "researcher", "owner"]


def status_of(who: str, least: str, allowed: int) -> int:
    if who == "nobody":
        return 401
    if who == "outsider":
        return 404
    return allowed if ROLES.index(who) >= ROLES.index(least) else 403


@pytest.mark.parametrize("who", ROLES)
def test_reading_needs_membership(who: str, client_of: ClientOf, run: Run) -> None:
    client = client_of(who)
    for address in READS:
        response = client.get("/api/v1" + address.format(run=run.pk))
        expected = status_of(who, "viewer", 200)
        assert response.status_code == expected, (address, who)
        if expected != 200:
            assert_problem(response, expected)


@pytest.mark.parametrize("who", ROLES)
@pytest.mark.parametrize(("address", "allowed", "least"), WRITES)
def test_changing_needs_a_role(
    who: str,
    address: str,
    allowed: int,
    least: str,
    client_of: ClientOf,
    run: Run,
    settings: Settings,
) -> None:
    settings.ENDPOINTS = {"here": Endpoint(url="http://localhost:1/v1")}
    body: dict[str, Any] = {"config": config()}
    if address.endswith("/runs"):
        body["name"] = "made"
    body = ADDS.get(address.rpartition("/")[2], body)
    url = "/api/v1" + address.format(run=run.pk)
    response = client_of(who).post(url, body, content_type="application/json")
    expected = status_of(who, least, allowed)
    assert response.status_code == expected, response.content
    if expected >= 400:
        assert_problem(response, expected)
    assert Run.objects.count() == 1 + (expected == 201 and address.endswith("/runs"))


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options", "head"])
def test_other_methods_are_refused(method: str, client_of: ClientOf, run: Run) -> None:
    known = {address: {"get"} for address in ("/projects", *READS)}
    for write, _, _ in WRITES:
        known.setdefault(write, set()).add("post")
    client = client_of("owner")
    for address, methods in known.items():
        response = getattr(client, method)("/api/v1" + address.format(run=run.pk))
        assert (response.status_code == 405) == (method not in methods), address
        if response.status_code == 405:
            assert response["Content-Type"] == "application/problem+json"
            assert set(response["Allow"].split(", ")) == {m.upper() for m in methods}


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/",
        "/nothing",
        "/runs",
        "/runs/1/",
        "/projects/none",
        "/projects/none/runs",
        "/runs/99",
    ],
)
def test_what_is_not_there_is_a_problem(address: str, client_of: ClientOf) -> None:
    response = client_of("owner").get(f"/api/v1{address}", follow=False)
    assert response.status_code in (301, 404)  # without its slash, the root is sent on
    if response.status_code == 404:
        assert_problem(response, 404)


def test_only_ones_own_projects_are_listed(client_of: ClientOf, run: Run) -> None:
    listed = client_of("viewer").get("/api/v1/projects").json()
    assert [item["slug"] for item in listed["items"]] == ["sandbox"]
    assert client_of("outsider").get("/api/v1/projects").json() == {"items": [], "next": None}
    assert_problem(Client().get("/api/v1/projects"), 401)
