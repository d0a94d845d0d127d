"""Reviewing by single keys, of which none acts while somebody types."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from alignment.models import Prompt, Review, ReviewItem, Run
from tests.browser.conftest import OpenPage
from tests.web.conftest import add_rewrite, put, stage_of


@pytest.fixture
def items(run: Run) -> list[ReviewItem]:
    """Three rewrites that wait for people."""
    review = put(stage_of(run, "review"), status="waiting", total=3, unit="rewrites")
    seeds = Prompt.objects.filter(prompt_set__name="mixed").order_by("pk")[:3]
    found = [add_rewrite(review, seed, f"{seed.text} Say how.", "Harm.") for seed in seeds]
    Run.objects.filter(pk=run.pk).update(status="waiting")
    return found


@pytest.fixture
def page(open_page: OpenPage, run: Run, items: list[ReviewItem]) -> Page:
    return open_page(reverse("review", args=[run.project.slug]))


def decisions() -> list[str]:
    return list(Review.objects.order_by("pk").values_list("decision", flat=True))


def test_approve_and_reject_lead_on(page: Page, items: list[ReviewItem]) -> None:
    expect(page.get_by_text("3 left")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_text("2 left")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_text("1 left")).to_be_visible()
    assert decisions() == ["approve", "reject"]


def test_no_key_acts_while_somebody_types(page: Page, items: list[ReviewItem]) -> None:
    page.keyboard.press("e")
    area = page.get_by_label("Edited rewrite")
    expect(area).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type(" a e r s o ?")
    expect(page.locator("#keys")).to_be_hidden()
    reason = page.get_by_label("A few words, if any")
    reason.focus()
    page.keyboard.type("are rare")
    page.keyboard.press("Enter")
    expect(page.get_by_text("3 left")).to_be_visible()
    assert decisions() == []
    assert area.input_value().endswith("Say how. a e r s o ?")
    area.focus()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("2 left")).to_be_visible()
    items[0].refresh_from_db()
    assert items[0].state == "edited"
    assert items[0].outcome is not None
    assert items[0].outcome.text.endswith("Say how. a e r s o ?")


def test_keys_with_control_stay_the_browsers(page: Page) -> None:
    page.keyboard.press("Control+r")
    page.keyboard.press("Control+a")
    expect(page.get_by_text("3 left")).to_be_visible()
    assert decisions() == []


def test_rollouts_are_covered_until_asked_for(page: Page) -> None:
    expect(page.get_by_text("Harm.", exact=True)).to_be_hidden()
    page.keyboard.press("o")
    expect(page.get_by_text("Harm.", exact=True)).to_be_visible()
    page.keyboard.press("o")
    expect(page.get_by_text("Harm.", exact=True)).to_be_hidden()


def test_skipping_leads_past(page: Page, items: list[ReviewItem]) -> None:
    page.keyboard.press("s")
    expect(page.locator(".diff")).to_contain_text(items[1].prompt.text.split("?")[0])
    assert decisions() == ["skip"]


def test_the_keys_are_listed_and_can_be_switched_off(page: Page) -> None:
    page.keyboard.press("?")
    keys = page.locator("#keys")
    expect(keys).to_contain_text("Approve")
    page.keyboard.press("a")
    expect(keys).to_be_visible()
    page.get_by_label("Single keys work on this browser").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.reload()
    page.keyboard.press("a")
    expect(page.get_by_text("3 left")).to_be_visible()
    assert decisions() == []
