"""Plots whose arms and policies have wide names: nothing that they say covers anything else."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect

from alignment.models import Project
from tests.browser.conftest import OpenPage
from tests.builders import make_run
from tests.web.compare_runs import KEEN, SAFE, evaluated
from tests.web.conftest import add_evaluation

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
BOXES = """els => els.filter(el => el.textContent).map(el => {
  const { left, right, top, bottom } = el.getBoundingClientRect();
  return [el.textContent, left, top, right, bottom];
})"""


def covered(page: Page, texts: str) -> list[tuple[str, str]]:
    """Pairs of shown texts of which one covers the other."""
    found = page.locator(texts).evaluate_all(BOXES)
    assert len(found) > 1
    return [
        (one[0], two[0])
        for i, one in enumerate(found)
        for two in found[:i]
        if one[1] < two[3] and two[1] < one[3] and one[2] < two[4] and two[2] < one[4]
    ]


@pytest.mark.parametrize("shape", [PHONE, DESKTOP])
def test_numbers_of_one_panel_keep_off_the_next_however_wide_the_arms_names(
    open_page: OpenPage, project: Project, owner: User, shape: dict[str, Any]
) -> None:
    kept = "Paraphrased_with_the_same_content_and_no_space in pairs of a margin"
    for name, raw, pair in ((kept, SAFE, {}), (f"{kept} too", KEEN, {"consistent": False})):
        for seed in (1, 2):
            run = make_run(project, owner, name=f"{name} seed {seed}", seed=seed, pair=pair)
            evaluated(run, 1, raw, 10)
    page = open_page(reverse("compare", args=[project.slug]), **shape)
    for part in ("#seeds", "#differences"):
        expect(page.locator(f"{part} .main-svg").first).to_be_visible()
        assert not covered(page, f"{part} .xtick text, {part} .ytick text, {part} .infolayer text")
        names = page.locator(f"{part} .ytick text").evaluate_all(BOXES)
        assert names and all(right - left < 180 for _, left, _, right, _ in names)


def test_a_phone_tells_by_marks_in_the_table_whose_a_point_is(
    open_page: OpenPage, project: Project, owner: User
) -> None:
    run = make_run(project, owner, name="fused and consistent pairs")
    evaluated(run, 0, SAFE, 10)
    evaluated(run, 1, KEEN, 10)
    near = {**SAFE, "helpful": [2.0, 2, 2, 3]}
    for name, raw in (("mistral-large-instruct-2407", near), ("qwen2.5-72b-instruct", KEEN)):
        add_evaluation(project, name, raw)
    address = reverse("results", args=[project.slug])
    wide = open_page(address, **DESKTOP)
    labels = wide.locator("#pareto-plot .textpoint")
    expect(labels.first).to_be_visible()
    assert not covered(wide, "#pareto-plot .textpoint text")
    page = open_page(address, **PHONE)
    expect(page.locator("#pareto-plot .points path").first).to_be_visible()
    assert not any(label.is_visible() for label in page.locator("#pareto-plot .textpoint").all())
    marks = page.locator("#policies td.name > span").all_inner_texts()
    assert marks == ["●", "■", "●", "●"], "rounds by shape"
    drawn = "els => els.map(el => getComputedStyle(el).fill)"
    colours = page.locator("#policies td.name > span").evaluate_all(drawn.replace("fill", "color"))
    points = page.locator("#pareto-plot .points path").evaluate_all(drawn)
    assert set(colours) == set(points) and len(set(colours)) == 3
