"""The main job as a person does it: sign in, configure a run, watch it finish, see its point."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect

from alignment.models import Evaluation, Membership, Project, Role, Run
from tests.browser.conftest import PASSWORD, OpenPage, Site
from tests.conftest import FILES, Workers

MINUTES = 60_000
POINTS = "el => el.data.filter(t => t.mode === 'markers+text').flatMap(t => t.text)"


@pytest.fixture
def project(sandbox: Project, owner: User) -> Project:
    Membership.objects.create(project=sandbox, user=owner, role=Role.OWNER)
    return sandbox


def keep(page: Page, name: str) -> None:
    """Keep a picture of the page, where MORA_SCREENSHOTS names a folder for them."""
    if folder := os.environ.get("MORA_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


def test_a_run_from_the_form_to_its_point(
    project: Project, make_workers: Callable[[str], Workers], site: Site, open_page: OpenPage
) -> None:
    make_workers(FILES).start()
    page = open_page("/sign-in/", signed_in=False)
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=project.name, exact=True).click()

    results = open_page(reverse("results", args=[project.slug]))
    results.evaluate("window.unloaded = false")
    expect(results.get_by_text("No evaluation yet")).to_be_visible()

    page.get_by_role("link", name="New run").first.click()
    configure(page)
    page.get_by_role("button", name="Create and start").click()
    expect(page.get_by_role("heading", name="in the browser")).to_be_visible()
    page.evaluate("window.unloaded = false")

    expect(results.locator("#finding")).to_contain_text("One policy so far", timeout=3 * MINUTES)
    plot = page.locator("#training-plot .main-svg").first
    expect(plot).to_be_visible(timeout=6 * MINUTES)
    expect(page.locator("#run-log")).to_contain_text("loss", timeout=MINUTES)
    expect(page.locator("#run-status")).to_have_text("succeeded", timeout=6 * MINUTES)
    expect(page.locator("#stages .pill.succeeded")).to_have_count(11)
    expect(page.locator("#checks .pill.succeeded")).to_have_count(3)  # gates that passed
    expect(page.locator(".kpi").first).to_contain_text("100 %")
    expect(page.locator("#run")).to_contain_text("0.6931")
    assert page.evaluate("window.unloaded") is False
    keep(page, "run")

    run = Run.objects.get(name="in the browser")
    expect(results.locator("#policies tbody tr")).to_have_count(2)
    assert results.locator("#pareto-plot").evaluate(POINTS) == ["start", "after round 1"]
    expect(results.get_by_role("link", name="Results 2")).to_be_visible()
    assert results.evaluate("window.unloaded") is False
    assert Evaluation.objects.filter(stage__run=run).count() == 2
    keep(results, "results")


def configure(page: Page) -> None:
    """A small run: one round on safety, N = 8, review skipped, a rate that the sandbox needs."""
    page.get_by_label("Name").fill("in the browser")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Rollouts per prompt, N").fill("8")
    page.get_by_label("Review of rewrites").select_option("skip")
    for left in (3, 2):
        page.get_by_role("button", name=f"Remove round {left}").click()
        expect(page.locator("#rounds fieldset")).to_have_count(left - 1)
    page.get_by_label("Prompt set", exact=True).select_option("mixed")
    page.get_by_label("Dimension to improve").select_option("harmless")
    page.get_by_label("Held-out prompt set").select_option("held-out")
    page.locator("#id_evaluate\\.n").fill("4")
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Temperature").fill("1")
    page.get_by_label("Top p").fill("1")
    page.get_by_label("Max new tokens").fill("64")
    page.get_by_text("Training", exact=True).click()
    page.get_by_label("Learning rate").fill("0.001")
    page.get_by_label("Epochs").fill("8")
