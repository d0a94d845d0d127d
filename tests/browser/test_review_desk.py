"""Reviewing in real browsers: several at once, interrupted, cut off, and come back."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, Dialog, Page, expect

from alignment.models import Guideline, Membership, Review, ReviewDraft, ReviewItem, Role, Run
from alignment.services.answers import Answer
from alignment.services.drafts import save_draft
from alignment.services.reviews import decide_rewrite
from tests.browser.conftest import OpenPage, Site, session_of
from tests.browser.review_items import decisions, member, waiting_items


@pytest.fixture
def items(run: Run) -> list[ReviewItem]:
    return waiting_items(run, 6)


@pytest.fixture
def address(run: Run, items: list[ReviewItem]) -> str:
    return reverse("review", args=[run.project.slug])


def page_of(browser: Browser, site: Site, user: User, address: str) -> Page:
    context = browser.new_context()
    context.add_cookies([{"name": "sessionid", "value": session_of(user), "url": site.url}])
    page = context.new_page()
    page.goto(site.url + address)
    return page


def held(page: Page) -> str:
    """The rewrite on the page, by the address that decides it."""
    return page.locator("#card").get_attribute("action") or ""


def edit(page: Page) -> None:
    page.keyboard.press("e")
    page.keyboard.type(" Be brief.")


def text(page: Page) -> str:
    return page.get_by_label("Edited rewrite").input_value()


def wait_for_last_draft(page: Page) -> None:
    """Until the draft that a page sent as it was left (a beacon waits for no reply) is stored."""
    saved_at, stored = ReviewDraft.objects.values_list("saved_at", flat=True), None
    while stored is None or stored != saved_at.first():
        stored = saved_at.first()
        page.wait_for_timeout(1000)


def refused(listen: Callable[..., None]) -> list[str]:
    """The questions of a page (`page.once`, the next; `page.on`, all), answered with no."""
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    listen("dialog", refuse)
    return asked


def test_two_browsers_at_once_never_hold_the_same_rewrite(
    browser: Browser, site: Site, run: Run, address: str, owner: User
) -> None:
    bo = member(run.project, "bo", Role.ANNOTATOR)
    pages = [page_of(browser, site, user, address) for user in (owner, bo)]
    for left in (4, 2):
        actions = [held(page) for page in pages]
        assert actions[0] != actions[1]
        for page in pages:
            page.keyboard.press("a")
        for page, before in zip(pages, actions, strict=True):
            expect(page.locator("#card")).not_to_have_attribute("action", before)
        for page in pages:
            page.reload()
            expect(page.get_by_text(f"{left} left of 6")).to_be_visible()
    assert held(pages[0]) != held(pages[1])
    assert decisions() == ["approve"] * 4
    assert ReviewItem.objects.filter(state="approved").count() == 4


def test_a_double_click_decides_once(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.get_by_role("button", name="Approve").dblclick()
    expect(page.get_by_text("5 left of 6")).to_be_visible()
    page.wait_for_timeout(500)
    assert decisions() == ["approve"]


def test_a_reload_in_the_middle_of_an_edit_keeps_the_draft(
    open_page: OpenPage, address: str
) -> None:
    page = open_page(address)
    edit(page)
    page.reload()
    expect(page.get_by_label("Edited rewrite")).to_have_value(
        "How do I mend 0 tables? Say how. Be brief."
    )
    expect(page.get_by_text("draft saved")).to_be_visible()


def test_after_a_reload_typing_goes_on_in_the_edit(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    edit(page)
    expect(page.get_by_text("draft saved")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Edited rewrite")).to_be_focused()
    expect(page.locator("#changes")).to_contain_text("2 words changed")
    page.get_by_role("heading", name="Review a rewrite").click()
    page.keyboard.press("e")
    page.keyboard.type(" a")
    assert text(page).endswith("Be brief. a")
    assert decisions() == []


def test_approving_past_an_edit_is_asked_first(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    asked = refused(page.once)
    edit(page)
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    assert asked == ["Approve the rewrite as it was suggested? Your edit is not in it."]
    page.wait_for_timeout(300)
    assert decisions() == []
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("button[value=approve]").click()
    expect(page.get_by_text("5 left of 6")).to_be_visible()
    assert decisions() == ["approve"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["e", "!", "Escape", "s"], "Skip the rewrite? Your edit of it is not kept."),
        (["f", "tone", "a"], "Go on without it? What you wrote below is not sent."),
        (["r", "2", "s"], "Go on without it? What you wrote below is not sent."),
    ],
)
def test_a_decision_past_what_was_written_for_another_is_asked_first(
    open_page: OpenPage, address: str, keys: list[str], told: str
) -> None:
    page = open_page(address)
    asked = refused(page.on)
    *before, last = keys
    for key in before:
        page.keyboard.press(key) if len(key) == 1 or key == "Escape" else page.keyboard.type(key)
    page.locator("h1").click()  # out of the panel, which stays open
    page.keyboard.press(last)
    page.wait_for_timeout(300)
    assert asked == [told]
    assert decisions() == []


def test_words_behind_a_closed_panel_are_kept_as_its_draft(
    open_page: OpenPage, browser: Browser, site: Site, owner: User, address: str
) -> None:
    page = open_page(address)
    page.keyboard.press("f")
    page.keyboard.type("look at the tone")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    page.keyboard.press("2")
    expect(page.get_by_text("draft saved")).to_be_visible()
    page.wait_for_timeout(1000)
    other = page_of(browser, site, owner, address)
    expect(other.locator("[name='words.flag']")).to_have_value("look at the tone")
    expect(other.locator("[name='words.reject']")).to_have_value("")


def test_a_draft_is_there_on_another_device(
    open_page: OpenPage, browser: Browser, site: Site, owner: User, address: str
) -> None:
    page = open_page(address)
    page.keyboard.press("t")
    page.keyboard.press("4")
    edit(page)
    expect(page.get_by_text("draft saved")).to_be_visible()
    expect(page.locator("#changes")).to_contain_text("2 words changed")
    other = page_of(browser, site, owner, address)
    assert text(other).endswith("Be brief.")
    expect(other.get_by_role("group", name="Intent kept").get_by_label("4")).to_be_checked()


def test_a_newer_draft_of_another_device_is_not_written_over(
    open_page: OpenPage, run: Run, items: list[ReviewItem], owner: User, address: str
) -> None:
    page = open_page(address)
    edit(page)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="My reviews").click()
    expect(page.get_by_role("heading", name="My reviews")).to_be_visible()
    wait_for_last_draft(page)
    better = Answer(decision="edit", text="Mend it, and say how.")
    save_draft(item=items[0], by=owner, answer=better)
    page.get_by_role("link", name="Review", exact=False).first.click()
    expect(page.get_by_label("Edited rewrite")).to_have_value("Mend it, and say how.")
    page.wait_for_timeout(1000)
    assert ReviewDraft.objects.get().text == "Mend it, and say how."


def test_a_lost_connection_keeps_the_text_and_saves_it_when_it_is_back(
    open_page: OpenPage, address: str
) -> None:
    page = open_page(address)
    page.context.set_offline(True)
    edit(page)
    expect(page.get_by_text("not saved yet: no connection")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("No connection. Your text stays here")
    assert text(page).endswith("Be brief.")
    assert not ReviewDraft.objects.exists()
    page.context.set_offline(False)
    expect(page.get_by_text("draft saved")).to_be_visible()
    assert ReviewDraft.objects.get().text.endswith("Be brief.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("5 left of 6")).to_be_visible()
    assert decisions() == ["edit"]


def test_who_was_signed_out_keeps_the_text_and_sends_it_after_signing_in(
    open_page: OpenPage, site: Site, owner: User, address: str
) -> None:
    page = open_page(address)
    page.context.clear_cookies(name="sessionid")
    edit(page)
    expect(page.get_by_text("you were signed out")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("You were signed out")
    assert text(page).endswith("Be brief.")
    cookie = {"name": "sessionid", "value": session_of(owner), "url": site.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("5 left of 6")).to_be_visible()
    assert decisions() == ["edit"]


@pytest.mark.parametrize("becomes", ["viewer", "nobody"])
def test_who_may_no_longer_review_is_told_and_not_asked_for_ever(
    browser: Browser, site: Site, run: Run, address: str, becomes: str
) -> None:
    bo = member(run.project, "bo", Role.ANNOTATOR)
    page = page_of(browser, site, bo, address)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url.rsplit("/", 2)[-2]))
    if becomes == "viewer":
        Membership.objects.filter(user=bo).update(role="viewer")
    else:
        Membership.objects.filter(user=bo).delete()
    edit(page)
    expect(page.locator("#saved")).to_contain_text("not saved: you may not review here any more")
    page.wait_for_timeout(4000)
    assert sent.count("draft") == 1
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("ask one of the project's owners")
    assert text(page).endswith("Be brief.")
    assert not Review.objects.exists()


def test_who_lost_the_token_is_told_to_reload_and_keeps_the_text(
    browser: Browser, site: Site, owner: User, address: str
) -> None:
    page = page_of(browser, site, owner, address)
    page.context.clear_cookies(name="csrftoken")
    edit(page)
    expect(page.locator("#saved")).to_contain_text("this page is out of date; reload it")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("this page is out of date; reload it")
    page.reload()
    expect(page.get_by_text("draft saved")).to_be_visible()
    assert text(page).endswith("Be brief.")


def test_what_could_not_be_saved_after_a_saved_draft_is_there_again(
    browser: Browser, site: Site, run: Run, address: str
) -> None:
    bo = member(run.project, "bo", Role.ANNOTATOR)
    page = page_of(browser, site, bo, address)
    edit(page)
    expect(page.get_by_text("draft saved")).to_be_visible()
    Membership.objects.filter(user=bo).update(role="viewer")
    page.keyboard.type(" Still here?")
    expect(page.locator("#saved")).to_contain_text("not saved: you may not review here")
    page.reload()
    Membership.objects.filter(user=bo).update(role="annotator")
    page.goto(site.url + address)
    expect(page.get_by_label("Edited rewrite")).to_have_value(
        "How do I mend 0 tables? Say how. Be brief. Still here?"
    )


def test_what_was_refused_is_still_saved_as_a_draft(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.keyboard.press("r")
    page.keyboard.press("Tab")
    page.keyboard.type("precious")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("a rejection needs a reason")
    expect(page.get_by_text("draft saved")).to_be_visible()
    assert ReviewDraft.objects.get().words == "precious"


def test_leaving_the_page_gives_the_rewrite_back(
    open_page: OpenPage, site: Site, address: str
) -> None:
    page = open_page(address)
    assert ReviewItem.objects.exclude(held_by=None).count() == 1
    page.goto(site.url + "/")
    page.wait_for_timeout(500)
    assert not ReviewItem.objects.exclude(held_by=None).exists()


def test_a_reload_still_holds_the_rewrite(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.reload()
    page.wait_for_timeout(2500)
    assert ReviewItem.objects.exclude(held_by=None).count() == 1
    assert page.locator("#lost").is_hidden()


def test_an_expired_lease_that_another_took_is_said_and_the_text_kept(
    open_page: OpenPage, browser: Browser, site: Site, run: Run, address: str
) -> None:
    page = open_page(address)
    edit(page)
    expect(page.get_by_text("draft saved")).to_be_visible()
    page.wait_for_timeout(2000)  # the page has renewed its lease after it was loaded
    ReviewItem.objects.update(lease_expires_at="2020-01-01T00:00:00Z")
    bo = member(run.project, "bo", Role.ANNOTATOR)
    other = page_of(browser, site, bo, address)
    assert held(other) == held(page)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("somebody else is reviewing it")
    page.get_by_text("Your text").click()
    expect(page.get_by_role("alert")).to_contain_text("Be brief.")
    assert not Review.objects.exists()
    page.get_by_role("link", name="My reviews").click()
    page.get_by_text("Edited text").click()
    expect(page.get_by_text("Say how. Be brief.")).to_be_visible()


def test_a_run_that_was_cancelled_takes_no_review_and_keeps_the_text(
    open_page: OpenPage, run: Run, address: str
) -> None:
    page = open_page(address)
    edit(page)
    run.stages.filter(kind="review").update(status="cancelled")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("its run was cancelled")
    page.get_by_text("Your text").click()
    expect(page.get_by_role("alert")).to_contain_text("Be brief.")


def test_the_original_is_no_edit_and_the_text_stays(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.keyboard.press("e")
    page.get_by_label("Edited rewrite").fill("How do I mend 0 tables?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("the edit is the original again")
    assert text(page) == "How do I mend 0 tables?"
    assert decisions() == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_card_has_one_left_edge_and_the_guideline_beside_it(
    open_page: OpenPage, run: Run, owner: User, address: str, width: int
) -> None:
    Guideline.objects.create(project=run.project, version=1, text="Be fair.", created_by=owner)
    page = open_page(address, viewport={"width": width, "height": 900})
    parts = (
        "#card > header > .chip",
        "#card h2 >> visible=true",
        ".veil",
        ".ratings",
        ".decide > *",
    )
    boxes = [page.locator(part).first.bounding_box() for part in parts]
    assert len({box["x"] for box in boxes if box}) == 1, boxes
    guideline = page.locator("#guideline").bounding_box()
    mined = page.get_by_role("heading", name="Why it was mined").bounding_box()
    assert guideline and mined and guideline["y"] + guideline["height"] <= mined["y"]
    assert width < 400 or guideline["y"] < 450


@pytest.mark.parametrize("width", [1280, 390])
def test_the_labels_of_the_desks_chart_can_be_read(
    open_page: OpenPage, run: Run, items: list[ReviewItem], owner: User, width: int
) -> None:
    decide_rewrite(item=items[0], by=owner, answer=Answer(decision="approve"))
    where = reverse("desk", args=[run.project.slug])
    page = open_page(where, viewport={"width": width, "height": 900})
    sizes = page.locator(".hours text").evaluate_all(
        "(all) => all.map((el) => parseFloat(getComputedStyle(el).fontSize) * el.getScreenCTM().a)"
    )
    assert len(sizes) > 4 and min(sizes) >= 11


def test_a_cold_page_is_light(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    weighs = """performance.getEntries().filter((e) => "transferSize" in e)
        .reduce((sum, e) => sum + e.transferSize, 0)"""
    assert 10_000 < page.evaluate(weighs) < 200_000


def test_a_review_is_reopened_from_the_list(open_page: OpenPage, address: str) -> None:
    page = open_page(address)
    page.keyboard.press("a")
    expect(page.get_by_text("5 left of 6")).to_be_visible()
    page.keyboard.press("m")
    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_text("6 left of 6")).to_be_visible()
    expect(page.locator(".diff.sides")).to_contain_text("0 tables")
    assert decisions() == []
