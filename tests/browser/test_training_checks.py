"""The checks of a training on a phone: what counts is in view without scrolling to the side."""

from django.urls import reverse
from playwright.sync_api import expect

from alignment.models import Run
from tests.browser.conftest import OpenPage
from tests.browser.test_live_run_page import begin, train
from tests.web.conftest import put, stage_of


def test_a_phone_shows_the_verdict_beside_each_gate_and_the_whole_gauge(
    open_page: OpenPage, run: Run
) -> None:
    begin(run)
    train(run, 1)
    gate = {
        "name": "the reference is unchanged after training",
        "passed": False,
        "value": "ab" * 32,
        "expected": "cd" * 32,
        "tolerance": 0,
    }
    gauge = {"entropy": 1.5, "repeated_ngrams": 0.25, "stopped_by_length": 0.0}
    facts = {"gates": [gate], "collapse": gauge, "collapse_before": gauge}
    put(stage_of(run, "train"), facts=facts)
    page = open_page(
        reverse("run", args=[run.project.slug, run.pk]), viewport={"width": 390, "height": 844}
    )
    verdict = page.locator("#checks .pill").bounding_box()
    assert verdict is not None and verdict["x"] + verdict["width"] < 390
    expect(page.get_by_role("heading", name="Collapse gauge")).to_be_visible()
    for cell in page.locator("#checks table").nth(1).locator("tr").last.locator("td").all():
        box = cell.bounding_box()
        assert box is not None and box["x"] + box["width"] < 390
