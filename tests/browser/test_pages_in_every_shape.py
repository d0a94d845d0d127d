"""Every page narrow and wide, light and dark, with and without script."""

from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from alignment.models import Run, Worker
from tests.browser.conftest import PASSWORD, OpenPage, Site
from tests.browser.test_live_run_page import begin, log, mark, train
from tests.web.conftest import add_evaluation, add_rewrite, put, stage_of

PROJECT_PAGES = [
    "project",
    "runs",
    "new-run",
    "ceiling",
    "compare",
    "results",
    "policies",
    "prompts",
    "dimensions",
    "new-policy",
    "new-judge",
    "new-rewriter",
    "my-reviews",
    "desk",
    "disputes",
    "agreement",
    "rewrites",
    "guideline",
    "members",
]
WIDE = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 2


@pytest.fixture
def full(run: Run) -> Run:
    """A run in which every part of every page has something to show, some of it very wide."""
    begin(run)
    mark(run, 5)
    train(run, 1)
    log(run, WIDE)
    gate = {
        "name": WIDE,
        "passed": False,
        "value": "ab" * 32,
        "expected": "cd" * 32,
        "tolerance": 0,
    }
    gauge = {"entropy": 1.5, "repeated_ngrams": 0.25, "stopped_by_length": 0.0}
    gauges = {"collapse_before": gauge, "collapse": gauge}
    put(stage_of(run, "train"), facts={"gates": [gate], "gates_failed": [WIDE], **gauges})
    put(stage_of(run, "pair"), facts={"pairs": 2, "yield": {"rollouts": 8, "taken": 2}})
    review = put(stage_of(run, "review"), status="waiting", total=1)
    seed = run.project.prompt_sets.get(name="mixed").prompts.all()[0]
    add_rewrite(review, seed, WIDE, WIDE)
    scores = {"helpful": [2.0] * 4, "harmless": [1.0] * 4, "truthful": [0.5] * 4}
    add_evaluation(run.project, WIDE, scores)
    add_evaluation(run.project, "another", {**scores, "helpful": [3.0] * 4})
    Worker.objects.create(name=WIDE, queue="gpu", slots=1, heartbeat_at=run.created_at)
    return run


def addresses(run: Run) -> list[str]:
    slug = run.project.slug
    own = [reverse(name, args=[slug]) for name in (*PROJECT_PAGES, "review")]
    item = stage_of(run, "review").review_items.all()[0]
    own += [reverse("run", args=[slug, run.pk]), reverse("adjudicate", args=[slug, item.pk])]
    return ["/", "/workers/", *own]


SHAPES = {
    "phone": {"viewport": {"width": 360, "height": 740}},
    "dark": {"color_scheme": "dark"},
    "zoomed": {"viewport": {"width": 640, "height": 430}, "device_scale_factor": 2},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_page_is_wider_than_its_window(
    shape: str, open_page: OpenPage, site: Site, full: Run
) -> None:
    page = open_page("/", **SHAPES[shape])
    for address in addresses(full):
        page.goto(site.url + address)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= page.evaluate("window.innerWidth"), address
        assert page.title().endswith("MORA")


def test_the_first_key_press_reaches_the_content(open_page: OpenPage, full: Run) -> None:
    page = open_page(reverse("runs", args=[full.project.slug]))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Name contains")).to_be_focused()


def test_a_round_is_added_in_place(open_page: OpenPage, full: Run) -> None:
    page = open_page(reverse("new-run", args=[full.project.slug]))
    page.get_by_label("Name").fill("kept")
    page.locator("#id_rounds\\.2\\.limit").fill("4")
    page.get_by_role("button", name="Add a round").click()
    expect(page.locator("#rounds fieldset")).to_have_count(4)
    expect(page.locator("#id_rounds\\.3\\.limit")).to_have_value("4")
    expect(page.get_by_label("Name")).to_have_value("kept")
    page.get_by_role("button", name="Remove round 1").click()
    expect(page.locator("#rounds fieldset")).to_have_count(3)


def test_the_console_works_without_script(browser: Browser, site: Site, full: Run) -> None:
    context: Any = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    slug = full.project.slug
    page.goto(site.url + reverse("new-run", args=[slug]))
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Add a round").click()
    expect(page.locator("fieldset")).to_have_count(4)
    page.get_by_label("Name").fill("without script")
    page.get_by_role("button", name="Create and start").click()
    expect(page.get_by_role("heading", name="without script")).to_be_visible()
    expect(page.locator("#run-status")).to_have_text("queued")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#run-status")).to_have_text("cancelled")
    page.goto(site.url + reverse("review", args=[slug]))
    page.locator("summary", has_text="Reject").click()
    page.get_by_label("Not natural").check()
    page.get_by_role("button", name="Reject it").click()
    expect(page.get_by_text("Rejected.")).to_be_visible()
    expect(page.get_by_text("Nothing is left for you to review")).to_be_visible()
    page.get_by_role("button", name="undo").click()
    page.get_by_role("button", name="Approve", exact=False).click()
    expect(page.get_by_text("Approved.")).to_be_visible()
