"""The page of a run follows its run in place, and takes nothing from under the reader's hands."""

from django.urls import reverse
from playwright.sync_api import Page, expect

from alignment import lifecycle
from alignment.models import LogLine, Run, Stage, Status, TrainingStep
from tests.browser.conftest import OpenPage, Site
from tests.web.conftest import put, stage_of


def begin(run: Run) -> None:
    lifecycle.advance(run)
    lifecycle.move(stage_of(run, "evaluate", 0), Status.RUNNING)


def mark(run: Run, done: int) -> None:
    """Progress of the run's first stage, as a worker writes it."""
    stage = stage_of(run, "evaluate", 0)
    Stage.objects.filter(pk=stage.pk).update(done=done, total=900, unit="rollouts")
    lifecycle.emit(run.pk, "progress", {"stage": stage.pk, "done": done, "total": 900})


def train(run: Run, step: int) -> None:
    metrics = {"loss": 0.7 - step / 50, "margin": step / 50, "accuracy": 0.5}
    TrainingStep.objects.create(stage=stage_of(run, "train"), step=step, metrics=metrics)


def log(run: Run, *lines: str) -> None:
    stage = stage_of(run, "train")
    LogLine.objects.bulk_create(LogLine(stage=stage, text=line) for line in lines)


def open_run(open_page: OpenPage, run: Run) -> Page:
    page = open_page(reverse("run", args=[run.project.slug, run.pk]))
    page.evaluate("window.unloaded = false")
    return page


def assert_not_reloaded(page: Page) -> None:
    assert page.evaluate("window.unloaded") is False


def test_status_progress_and_actions_change_without_a_reload(open_page: OpenPage, run: Run) -> None:
    page = open_run(open_page, run)
    expect(page.locator("#run-status")).to_have_text("pending")
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    begin(run)
    expect(page.locator("#run-status")).to_have_text("running")
    expect(page.get_by_role("button", name="Start")).to_have_count(0)
    mark(run, 123)
    expect(page.locator("#stage-0")).to_contain_text("123 / 900")
    lifecycle.fail(stage_of(run, "evaluate", 0), "no space left on the disk")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    expect(page.locator("#run")).to_contain_text("no space left on the disk")
    assert_not_reloaded(page)


def test_the_buttons_of_a_live_page_work(open_page: OpenPage, run: Run) -> None:
    page = open_run(open_page, run)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#run-status")).to_have_text("queued")
    page.on("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#run-status")).to_have_text("cancelled")


def test_a_cancel_that_is_not_confirmed_does_nothing(open_page: OpenPage, run: Run) -> None:
    page = open_run(open_page, run)
    page.on("dialog", lambda asked: asked.dismiss())
    page.get_by_role("button", name="Cancel").click()
    run.refresh_from_db()
    assert run.status == "pending"


def test_what_the_reader_has_opened_focused_and_scrolled_stays(
    open_page: OpenPage, run: Run
) -> None:
    begin(run)
    log(run, *(f"line {i}" for i in range(60)))
    train(run, 1)
    page = open_run(open_page, run)
    lines = page.locator("#run-log")
    expect(lines).to_contain_text("line 59")
    assert lines.evaluate("el => el.scrollHeight - el.scrollTop - el.clientHeight") < 24

    page.locator("#training-table summary").click()
    page.get_by_role("link", name="Clone").focus()
    log(run, "a new line")
    mark(run, 1)
    expect(lines).to_contain_text("a new line")
    assert lines.evaluate("el => el.scrollHeight - el.scrollTop - el.clientHeight") < 24

    lines.evaluate("el => { el.scrollTop = 10 }")
    log(run, "another line")
    train(run, 2)
    mark(run, 2)
    expect(lines).to_contain_text("another line")
    expect(page.locator("#step-1-2")).to_be_visible()
    assert lines.evaluate("el => el.scrollTop") == 10
    assert page.locator("#training-table").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.textContent") == "Clone"
    assert_not_reloaded(page)


def test_the_training_plot_grows_and_keeps_the_zoom(open_page: OpenPage, run: Run) -> None:
    begin(run)
    for step in range(1, 6):
        train(run, step)
    page = open_run(open_page, run)
    plot = page.locator("#training-plot")
    expect(plot.locator(".main-svg").first).to_be_visible()
    box = plot.locator(".draglayer .xy .nsewdrag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.8, steps=5)
    page.mouse.up()
    zoomed = plot.evaluate("el => el.layout.xaxis.range")
    train(run, 6)
    mark(run, 6)
    expect(page.locator("#step-1-6")).to_have_count(1)
    assert plot.evaluate("el => el.data[0].x.length") == 6
    assert plot.evaluate("el => el._fullLayout.xaxis.range") == zoomed
    assert "6 steps: loss 0.680 to 0.580" in (plot.get_attribute("aria-label") or "")


def test_a_reload_shows_the_same(open_page: OpenPage, run: Run) -> None:
    begin(run)
    mark(run, 77)
    page = open_run(open_page, run)
    expect(page.locator("#stage-0")).to_contain_text("77 / 900")
    page.reload()
    expect(page.locator("#stage-0")).to_contain_text("77 / 900")
    mark(run, 78)
    expect(page.locator("#stage-0")).to_contain_text("78 / 900")


def test_the_page_heals_after_the_web_process_was_killed(
    open_page: OpenPage, run: Run, site: Site
) -> None:
    begin(run)
    page = open_run(open_page, run)
    mark(run, 1)
    expect(page.locator("#stage-0")).to_contain_text("1 / 900")
    page.evaluate("console.error = () => {}")  # the browser's own word on the cut socket
    site.kill()
    expect(page.locator("#feed-cut")).to_be_visible()
    mark(run, 2)
    put(stage_of(run, "evaluate", 0), reason="while you were away")
    site.start()
    expect(page.locator("#stage-0")).to_contain_text("while you were away", timeout=40_000)
    expect(page.locator("#stage-0")).to_contain_text("2 / 900")
    expect(page.locator("#feed-cut")).to_be_hidden()
    assert_not_reloaded(page)
