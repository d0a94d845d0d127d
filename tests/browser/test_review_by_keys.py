"""Reviewing by single keys, of which none acts while somebody types."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from alignment.models import Review, ReviewItem, Run
from tests.browser.conftest import OpenPage
from tests.browser.review_items import decisions, waiting_items


@pytest.fixture
def items(run: Run) -> list[ReviewItem]:
    """Three rewrites that wait for people."""
    return waiting_items(run, 3)


@pytest.fixture
def page(open_page: OpenPage, run: Run, items: list[ReviewItem]) -> Page:
    return open_page(reverse("review", args=[run.project.slug]))


def look_at(page: Page, words: str) -> None:
    """Wait until the rewrite is shown, and as long as decisions on it are not taken for a second
    click on the one before."""
    expect(page.locator(".diff.sides")).to_contain_text(words)
    page.wait_for_timeout(450)


def test_approving_leads_on_and_says_so(page: Page, items: list[ReviewItem]) -> None:
    expect(page.get_by_text("3 left of 3")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_text("2 left of 3")).to_be_visible()
    expect(page.locator("#said")).to_have_text("Approved. Next rewrite.")
    expect(page.get_by_role("heading", name="Review a rewrite")).to_be_focused()
    expect(page.locator("#nav")).to_contain_text("Review2")
    assert decisions() == ["approve"]


def test_the_key_for_rejecting_asks_why_and_rejects_nothing(page: Page) -> None:
    page.keyboard.press("r")
    reasons = page.get_by_role("group", name="Why is it rejected?")
    expect(reasons.get_by_label("Intent lost")).to_be_focused()
    page.keyboard.press("a")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("a rejection needs a reason")
    assert decisions() == []
    page.keyboard.press("3")
    expect(reasons.get_by_label("Adds harm")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("asks for a, e and r")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("2 left of 3")).to_be_visible()
    review = Review.objects.get()
    assert (review.decision, review.reason) == ("reject", "adds_harm")
    assert review.words == "asks for a, e and r"


def test_a_key_typed_right_after_opening_the_edit_is_text(page: Page) -> None:
    page.keyboard.press("e")
    page.keyboard.type(" are")
    expect(page.get_by_label("Edited rewrite")).to_have_value(
        "How do I mend 0 tables? Say how. are"
    )
    assert decisions() == []


def test_no_key_acts_while_somebody_types(page: Page, items: list[ReviewItem]) -> None:
    page.keyboard.press("f")
    words = page.get_by_label("What should an adjudicator look at?")
    expect(words).to_be_focused()
    page.keyboard.type("are rare ? z")
    page.keyboard.press("Enter")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(words).to_be_hidden()
    page.keyboard.press("e")
    page.keyboard.type(" Be brief.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("2 left of 3")).to_be_visible()
    assert decisions() == ["edit"]
    items[0].refresh_from_db()
    assert items[0].outcome is not None
    assert items[0].outcome.text.endswith("Say how. Be brief.")


def test_ratings_are_given_by_digit_and_go_with_the_decision(page: Page) -> None:
    page.keyboard.press("t")
    page.keyboard.press("4")
    page.keyboard.press("Tab")
    page.keyboard.press("2")
    page.keyboard.press("a")
    expect(page.get_by_text("2 left of 3")).to_be_visible()
    assert Review.objects.get().ratings == {"intent_kept": 4, "natural": 2}


def test_undo_brings_the_last_rewrite_back_with_what_was_said(page: Page) -> None:
    page.keyboard.press("e")
    page.keyboard.type(" Be brief.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("2 left of 3")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_text("3 left of 3")).to_be_visible()
    expect(page.get_by_label("Edited rewrite")).to_have_value(
        "How do I mend 0 tables? Say how. Be brief."
    )
    assert decisions() == []


def test_the_diff_is_shown_as_this_browser_was_asked_last(page: Page) -> None:
    expect(page.get_by_role("heading", name="Original")).to_be_visible()
    page.keyboard.press("v")
    expect(page.get_by_role("heading", name="Original")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("heading", name="Rewrite, with what it changes")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_text("2 left of 3")).to_be_visible()
    expect(page.get_by_role("heading", name="Rewrite, with what it changes")).to_be_visible()


def test_keys_with_control_stay_the_browsers(page: Page) -> None:
    page.keyboard.press("Control+r")
    page.keyboard.press("Control+a")
    expect(page.get_by_text("3 left of 3")).to_be_visible()
    assert decisions() == []


def test_rollouts_are_covered_until_asked_for(page: Page) -> None:
    expect(page.get_by_text("Harm.", exact=True)).to_be_hidden()
    page.keyboard.press("o")
    expect(page.get_by_text("Harm.", exact=True)).to_be_visible()
    page.keyboard.press("o")
    expect(page.get_by_text("Harm.", exact=True)).to_be_hidden()


def test_skipping_leads_past_and_can_be_taken_up_again(page: Page, items: list[ReviewItem]) -> None:
    page.keyboard.press("s")
    look_at(page, "1 tables")
    page.keyboard.press("a")
    look_at(page, "2 tables")
    page.keyboard.press("a")
    expect(page.get_by_text("You skipped 1 that can still be reviewed")).to_be_visible()
    page.get_by_role("link", name="take it up again").click()
    page.get_by_role("button", name="Review it").click()
    expect(page.locator(".diff.sides")).to_contain_text("0 tables")
    assert decisions() == ["approve", "approve"]


def test_the_keys_are_listed_and_can_be_switched_off(page: Page) -> None:
    page.keyboard.press("?")
    keys = page.locator("#keys")
    for does in ("Approve, and on", "Edit", "Reject", "Skip", "Flag", "My reviews", "Side by side"):
        expect(keys).to_contain_text(does)
    page.keyboard.press("a")
    expect(keys).to_be_visible()
    page.get_by_label("Single keys work on this browser").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.reload()
    page.keyboard.press("a")
    expect(page.get_by_text("3 left of 3")).to_be_visible()
    assert decisions() == []


def test_a_second_click_does_not_fall_on_the_next_rewrite(
    page: Page, items: list[ReviewItem]
) -> None:
    for _ in range(2):
        page.locator("button[value=approve]").click()
        expect(page.get_by_text("2 left of 3")).to_be_visible()
    page.wait_for_timeout(300)
    assert decisions() == ["approve"]
    page.wait_for_timeout(300)
    page.locator("button[value=approve]").click()
    expect(page.get_by_text("1 left of 3")).to_be_visible()


def test_approving_with_an_edit_open_approves_the_edit(page: Page, items: list[ReviewItem]) -> None:
    page.keyboard.press("e")
    page.keyboard.type(" Briefly.")
    page.locator("button[value=approve]").click()
    expect(page.get_by_text("2 left of 3")).to_be_visible()
    (said,) = Review.objects.all()
    assert (said.decision, said.edited_text.endswith("Briefly.")) == ("edit", True)


def test_twenty_rewrites_are_reviewed_without_a_mouse(open_page: OpenPage, run: Run) -> None:
    waiting_items(run, 20)
    page = open_page(reverse("review", args=[run.project.slug]))
    wanted = []
    for number in range(20):
        look_at(page, f"mend {number} tables")
        decision = ("approve", "edit", "reject", "approve")[number % 4]
        wanted.append(decision)
        if decision == "approve":
            page.keyboard.press("a")
            continue
        page.keyboard.press(decision[0])
        page.keyboard.type(" Briefly." if decision == "edit" else "1")
        page.keyboard.press("Control+Enter")
    expect(page.get_by_text("The run goes on at")).to_be_visible()
    expect(page.locator("#said")).to_contain_text("Nothing is left for you.")
    assert decisions() == wanted
