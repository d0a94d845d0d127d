"""What the rewriter replied in a run, on a page and through the API."""

import pytest
from django.test import Client
from django.urls import reverse

from alignment.models import Prompt, RewriteAttempt, Run
from tests.web.conftest import stage_of

REFUSED = [
    {"name": "not_empty", "passed": True, "detail": ""},
    {"name": "key_terms", "passed": False, "detail": "keeps 0.20 of the words, 0.50 are asked for"},
]


@pytest.fixture
def attempted(run: Run) -> Run:
    parent = Prompt.objects.filter(prompt_set__name="mixed")[0]
    stage = stage_of(run, "rewrite")
    for index, (text, checks) in enumerate(
        [("<b>Other</b> words", REFUSED), ("Kept", REFUSED[:1])]
    ):
        RewriteAttempt.objects.create(
            stage=stage,
            parent=parent,
            index=index,
            strategy="fuse",
            reply=f'{{"rewrite": "{text}"}}',
            text=text,
            checks=checks,
            accepted=index == 1,
        )
    return run


def test_refused_attempts_are_shown_with_the_checks_that_they_failed(
    researcher: Client, attempted: Run
) -> None:
    url = reverse("attempts", args=[attempted.project.slug, attempted.pk])
    text = researcher.get(url).content.decode()
    assert "2 in all" in text and "&lt;b&gt;Other&lt;/b&gt; words" in text
    assert 'key terms: <span class="muted">keeps 0.20 of the words' in text
    refused = researcher.get(url, {"outcome": "refused"}).content.decode()
    assert "1 refused" in refused and ">Kept" not in refused
    nothing = researcher.get(url, {"outcome": "refused", "page": "9"}).content.decode()
    assert "1 refused" in nothing


def test_a_run_without_attempts_says_so(researcher: Client, run: Run) -> None:
    text = researcher.get(reverse("attempts", args=[run.project.slug, run.pk])).content.decode()
    assert "No attempt" in text


def test_the_api_gives_them_in_parts(researcher: Client, attempted: Run) -> None:
    url = f"/api/v1/runs/{attempted.pk}/attempts"
    first = researcher.get(url, {"limit": 1}).json()
    assert [a["text"] for a in first["items"]] == ["<b>Other</b> words"]
    assert first["items"][0]["checks"][1]["passed"] is False
    after = first["items"][-1]["id"]
    rest = researcher.get(url, {"limit": 1, "after": after}).json()["items"]
    assert [(a["accepted"], a["reply"]) for a in rest] == [(True, '{"rewrite": "Kept"}')]


def test_an_outsider_sees_none(sign_in: object, attempted: Run) -> None:
    outsider = sign_in("outsider")  # type: ignore[operator]
    url = reverse("attempts", args=[attempted.project.slug, attempted.pk])
    assert outsider.get(url).status_code == 404
    assert outsider.get(f"/api/v1/runs/{attempted.pk}/attempts").status_code == 404
