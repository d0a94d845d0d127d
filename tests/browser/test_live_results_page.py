"""The Pareto page gains a point without a reload when an evaluation lands."""

from django.urls import reverse
from playwright.sync_api import expect

from alignment import lifecycle
from alignment.models import Run, Status
from tests.browser.conftest import OpenPage
from tests.web.conftest import add_evaluation, stage_of

POINTS = "el => el.data.filter(t => t.mode === 'markers+text').flatMap(t => t.text)"


def land(run: Run, number: int, name: str, helpful: float) -> None:
    """An evaluation of the run, and its stage's end."""
    raw = {"helpful": [helpful] * 4, "harmless": [1.0, 0.0] * 2, "truthful": [0.5] * 4}
    evaluation = add_evaluation(run.project, name, raw)
    evaluation.stage = stage_of(run, "evaluate", number)
    evaluation.save()
    stage = evaluation.stage
    type(stage).objects.filter(pk=stage.pk).update(status="running")
    stage.refresh_from_db()
    lifecycle.move(stage, Status.SUCCEEDED)


def test_points_come_as_their_evaluations_land(open_page: OpenPage, run: Run) -> None:
    page = open_page(reverse("results", args=[run.project.slug]))
    page.evaluate("window.unloaded = false")
    expect(page.get_by_text("No evaluation yet")).to_be_visible()
    land(run, 0, "run: start", 2)
    expect(page.locator("#finding")).to_contain_text("One policy so far")
    plot = page.locator("#pareto-plot")
    expect(plot.locator(".main-svg").first).to_be_visible()
    assert plot.evaluate(POINTS) == ["run: start"]
    land(run, 1, "run: after round 1", 4)
    expect(page.locator("#finding")).to_contain_text("dominates", timeout=10_000)
    assert plot.evaluate(POINTS) == ["start", "after round 1"]
    expect(page.locator("#policies tbody tr")).to_have_count(2)
    assert page.evaluate("window.unloaded") is False


def test_a_point_leads_to_its_run(open_page: OpenPage, run: Run) -> None:
    land(run, 0, "run: start", 2)
    page = open_page(reverse("results", args=[run.project.slug]))
    expect(page.locator("#pareto-plot .main-svg").first).to_be_visible()
    mark = page.locator("#pareto-plot .scatterlayer .points path").bounding_box()
    assert mark is not None
    page.mouse.click(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    page.wait_for_url(f"**{reverse('run', args=[run.project.slug, run.pk])}")
