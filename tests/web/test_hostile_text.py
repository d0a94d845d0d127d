"""Text that people and models wrote is shown as text, with what cannot be seen made visible."""

import csv
import io
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from alignment.models import LogLine, Policy, Project, Prompt, PromptSet, Run
from alignment.templatetags.console import visible
from tests.web.conftest import add_evaluation, add_rewrite, put, stage_of

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e{{ 7 }}\x07"


@pytest.fixture
def hostile(waiting: Run) -> Run:
    """The run, with hostile text wherever a person, a model or a file can put some."""
    project = waiting.project
    project.name = project.description = HOSTILE[:90]
    project.save()
    prompts = PromptSet.objects.create(project=project, name=HOSTILE, source=HOSTILE)
    seed = Prompt.objects.create(prompt_set=prompts, text=HOSTILE, key="k", kind=HOSTILE[:90])
    add_rewrite(stage_of(waiting, "review"), seed, f"{HOSTILE} again", completion=HOSTILE)
    Policy.objects.create(project=project, name=HOSTILE)
    scores = {"helpful": [1.0] * 4, "harmless": [1.0] * 4, "truthful": [0.5] * 4}
    add_evaluation(project, f"{HOSTILE} evaluated", scores)
    train = put(stage_of(waiting, "train"), status="failed", reason=HOSTILE, traceback=HOSTILE)
    put(
        stage_of(waiting, "rewrite"),
        facts={"accepted": 1, "attempts": 1, "refused_by": {HOSTILE: 1}},
    )
    LogLine.objects.create(stage=train, text=HOSTILE)
    Run.objects.filter(pk=waiting.pk).update(name=HOSTILE[:99])
    waiting.refresh_from_db()
    return waiting


PAGES = ["projects", "project", "runs", "run", "new-run", "results", "policies", "prompts"]


@pytest.mark.parametrize("name", [*PAGES, "dimensions", "review"])
def test_no_page_lets_hostile_text_become_markup(
    name: str, sign_in: Callable[[str], Client], hostile: Run
) -> None:
    args = {"projects": [], "run": [hostile.project.slug, hostile.pk]}
    address = reverse(name, args=args.get(name, [hostile.project.slug]))
    pages = [sign_in("owner").get(address)]
    if name == "review":
        last = hostile.stages.get(kind="review").review_items.last()
        assert last is not None
        hold = reverse("review-hold", args=[hostile.project.slug, last.pk])
        sign_in("owner").post(hold)
        pages.append(sign_in("owner").get(address))
    for page in pages:
        text = page.content.decode()
        assert page.status_code == 200
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "{{ 7 }}" in text or "alert(1)" not in text


def test_a_reviewer_sees_the_characters_that_nobody_sees(
    sign_in: Callable[[str], Client], hostile: Run
) -> None:
    last = hostile.stages.get(kind="review").review_items.last()
    assert last is not None
    client, slug = sign_in("annotator"), hostile.project.slug
    client.post(reverse("review-hold", args=[slug, last.pk]))
    page = client.get(reverse("review", args=[slug])).content.decode()
    shown, _, edited = page.partition("<textarea")
    assert "\u202e" not in shown
    assert "\u27e8U+202E\u27e9" in shown
    assert "\u27e8U+0007\u27e9" in shown
    assert "\u202e" in edited, "the text to edit is the text itself"


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_visible_text_keeps_every_character_that_shows(text: str) -> None:
    shown = visible(text)
    assert not any(char in shown for char in "\x00\x1b\u200b\u202e\u2066\ufeff\U000e0041")
    assert visible(shown) == shown


def test_lines_of_any_system_stay_lines() -> None:
    assert visible("a\r\nb\nc\td") == "a\nb\nc\td"
    assert visible("a\rb") == "a\u27e8U+000D\u27e9b"


def test_a_csv_cell_is_no_formula(sign_in: Callable[[str], Client], project: Project) -> None:
    scores = {"helpful": [1.0] * 4, "harmless": [1.0] * 4, "truthful": [0.5] * 4}
    add_evaluation(project, '=HYPERLINK("http://evil.example")', scores)
    page = sign_in("viewer").get(reverse("results-csv", args=[project.slug]))
    rows = list(csv.reader(io.StringIO(page.content.decode())))
    assert rows[1][0] == '\'=HYPERLINK("http://evil.example")'
