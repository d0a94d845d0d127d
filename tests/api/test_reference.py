"""The reference page works offline under the console's policy, and its schema tells the truth."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from alignment.api import api

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def schema(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/v1/openapi.json").json()
    return found


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_operation_declares_its_failures_as_problems(schema: dict[str, Any]) -> None:
    problem = {"$ref": "#/components/schemas/Problem"}
    for path, method, operation in operations(schema):
        expected = {"401", "403", "404", "422", "500"}
        expected |= {"400", "409", "413"} if method in ("post", "put") else set()
        failures = {s: r for s, r in operation["responses"].items() if s >= "400"}
        assert set(failures) == expected, path
        for response in failures.values():
            assert response["content"] == {"application/problem+json": {"schema": problem}}
        assert {"ApiKeyAuth": []} in operation["security"]
        assert operation["description"]


def test_every_reference_in_the_schema_leads_somewhere(schema: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from [inner] if key == "$ref" else references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    known = {f"#/components/schemas/{name}" for name in schema["components"]["schemas"]}
    assert set(references(schema)) <= known


def test_names_of_operations_are_short_and_different(schema: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(set(names)) == len(names)
    assert "create_run" in names


def test_every_list_is_bounded(schema: dict[str, Any]) -> None:
    for path, _, operation in operations(schema):
        content = operation["responses"].get("200", {}).get("content", {})
        name = str(content).rsplit("/", 1)[-1]
        if "Page_" in name or "EventsOut" in name:
            limit = next(p for p in operation["parameters"] if p["name"] == "limit")
            assert limit["schema"]["maximum"] <= 200, path


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium was found to open the page with")
def test_the_page_draws_offline_under_the_policy(live_server: LiveServer) -> None:
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((live_server.url, "data:"))
                else complaints.append(request.url)
            ),
        )
        page.goto(f"{live_server.url}/api/v1/docs")
        page.locator("#operations-runs-create_run").click()
        page.get_by_text("Create a run, and start it where asked.").wait_for()
        assert page.locator(".opblock").count() == len(
            list(operations(api.get_openapi_schema(path_prefix="")))
        )
        browser.close()
    assert complaints == []
