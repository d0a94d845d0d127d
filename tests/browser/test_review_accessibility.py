"""axe-core finds no serious fault on the pages of the review desk, in light and in dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page

from alignment.models import Guideline, ReviewItem, Role, Run
from alignment.services.answers import Answer
from alignment.services.invitations import invite
from alignment.services.reviews import decide_rewrite
from tests.browser.conftest import OpenPage, Site
from tests.browser.review_items import member, waiting_items

PAGES = ["my-reviews", "desk", "disputes", "agreement", "rewrites", "guideline", "members"]


@pytest.fixture
def desk(run: Run, owner: User) -> list[ReviewItem]:
    """A desk on which every part of every page has something to show."""
    items = waiting_items(run, 4)
    ReviewItem.objects.update(needed=2)
    bo, cy = (member(run.project, name, Role.ANNOTATOR) for name in ("bo", "cy"))
    text = "# Keep\n- the intent\n\nUse `edit` for **slips**."
    Guideline.objects.create(project=run.project, version=1, text=text, created_by=owner)
    said = [
        (bo, Answer(decision="approve", ratings={"natural": 4})),
        (cy, Answer(decision="edit", text="How do I mend tables well?", ratings={"natural": 2})),
    ]
    for who, answer in said:
        decide_rewrite(item=items[0], by=who, answer=answer)
    decide_rewrite(item=items[1], by=owner, answer=Answer(decision="skip"))
    return items


def faults(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {one['id']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_the_desk_has_a_serious_fault(
    scheme: str, open_page: OpenPage, site: Site, run: Run, desk: list[ReviewItem], owner: User
) -> None:
    slug = run.project.slug
    page = open_page(reverse("review", args=[slug]), color_scheme=scheme)
    found = faults(page)
    for key in "orfe":
        page.keyboard.press(key)
        page.keyboard.press("Escape")
    for key in ("v", "o", "r"):
        page.keyboard.press(key)
    found += faults(page)
    page.keyboard.press("Control+Enter")
    page.get_by_text("a rejection needs a reason").wait_for()
    found += faults(page)
    _, token = invite(project=run.project, role=Role.ANNOTATOR, by=owner)
    _, other = invite(project=run.project, role=Role.ANNOTATOR, by=owner)
    addresses = [reverse(name, args=[slug]) for name in PAGES]
    addresses += [reverse("adjudicate", args=[slug, desk[0].pk]), reverse("join", args=[token])]
    for address in addresses:
        page.goto(site.url + address)
        found += faults(page)
    run.stages.filter(kind="review").update(status="cancelled")
    page.goto(site.url + reverse("review", args=[slug]))
    found += faults(page)
    page.context.clear_cookies()
    page.goto(site.url + reverse("join", args=[other]))
    found += faults(page)
    assert not found, "\n".join(found)
