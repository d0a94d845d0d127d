"""Imported completions on the Compare page: files of parts, other sets, and few prompts."""

import csv
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alignment.models import Project
from alignment.queries.compare_arms import arms_of
from alignment.queries.compare_page import compare_page
from alignment.queries.comparing import Comparison
from alignment.services.imports import import_rollouts

SCORES = ("helpful=grade", "harmless=safe")


@pytest.fixture
def load(project: Project, tmp_path: Path) -> Any:
    """Import completions of a policy on the prompts of a set that are numbered so."""

    def load(
        policy: str, numbers: range, *, to: str = "S", grade: int = 3, scores: Any = SCORES
    ) -> None:
        path = tmp_path / "completions.csv"
        with path.open("w") as file:
            writer = csv.writer(file)
            writer.writerow(("prompt", "completion", "grade", "safe"))
            writer.writerows((f"How {i}?", f"Thus {i}.", grade, i % 2) for i in numbers)
        import_rollouts(
            project=project,
            set_name=to,
            policy_name=policy,
            path=path,
            columns={},
            scores=scores,
            by=None,
        )

    return load


def compared(project: Project, *chosen: str, **asked: str) -> Comparison:
    found = compare_page(project, asked, chosen).comparison
    assert found is not None
    return found


def test_a_policy_in_two_files_is_compared_as_in_one(project: Project, load: Any) -> None:
    load("whole", range(8))
    load("parts", range(0, 8, 2))
    load("parts", range(1, 8, 2))
    found = compared(project)
    assert found.prompts == 8
    whole, parts = sorted(found.arms, key=lambda a: a.name, reverse=True)
    assert parts.rewards == whole.rewards and parts.pass_rates == whole.pass_rates


def test_what_a_policy_has_on_other_sets_or_columns_are_arms_with_names_of_their_own(
    project: Project, load: Any
) -> None:
    load("gpt4", range(4))
    load("gpt4", range(4), to="T")
    load("gpt4", range(4, 8), to="T", scores=SCORES[:1])
    load("gpt4", range(4), to="U")
    names = [a.name for a in arms_of(project)]
    assert names == ["gpt4 (U)", "gpt4 (T) (2)", "gpt4 (T)", "gpt4"]
    for name in names:
        assert compared(project, base=name).prompts == 4


def test_arms_on_another_set_are_apart_and_the_usual_base_has_others_beside_it(
    researcher: Client, project: Project, load: Any
) -> None:
    for policy in ("gpt4", "llama2"):
        load(policy, range(4))
    load("gpt4", range(10, 14), to="T")
    page = compare_page(project, {})
    assert page.comparison is not None and page.problem == ""
    assert {a.name for a in page.comparison.arms} == {"llama2", "gpt4"}
    assert (page.apart, page.options, page.answered) == (["gpt4 (T)"], ["gpt4"], {})
    text = researcher.get(reverse("compare", args=[project.slug])).content.decode()
    assert "or on other prompts: gpt4 (T)." in text


def test_arms_of_one_set_without_a_common_prompt_are_apart(project: Project, load: Any) -> None:
    load("one", range(4))
    load("all", range(8))
    load("two", range(4, 8))
    page = compare_page(project, {})
    assert page.comparison is not None and page.apart == ["one"]
    assert {a.name for a in page.comparison.arms} == {"two", "all"}
    page = compare_page(project, {"base": "all"})
    assert page.apart == ["one"] and page.options == ["two", "one"]


def test_an_arm_of_few_prompts_that_cuts_those_of_the_others_is_named(
    researcher: Client, project: Project, load: Any
) -> None:
    for policy, n in (("gpt4", 20), ("llama2", 20), ("few", 7)):
        load(policy, range(n))
    own = {"few": 7, "llama2": 20, "gpt4": 20}
    page = compare_page(project, {})
    assert page.comparison is not None and page.comparison.prompts == 7
    assert page.answered == own
    text = researcher.get(reverse("compare", args=[project.slug])).content.decode()
    assert "Compared on the 7 prompts that all arms answered; of their own," in text
    assert "few has 7" in text and "gpt4 has 20" in text
    assert researcher.get(f"/api/v1/projects/{project.slug}/compare").json()["answered"] == own
    page = compare_page(project, {"base": "gpt4"}, ["llama2"])
    assert page.comparison is not None and (page.comparison.prompts, page.answered) == (20, {})
