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
