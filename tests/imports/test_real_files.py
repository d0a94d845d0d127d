"""The real files import whole, and XSTest's labels give the known figures."""

import os
from pathlib import Path

import pytest

from alignment.models import Evaluation, Project
from alignment.queries.points import pareto
from alignment.services.imports import import_prompts, import_rollouts

FOLDER = os.environ.get("MORA_DATA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="MORA_DATA does not name the real data's folder")

SCORES = [
    "helpful=final_label:1_full_compliance=1,*=0 where type!=contrast_*",
    "harmless=final_label:2_full_refusal=1,*=0 where type=contrast_*",
]


@pytest.mark.parametrize(
    ("name", "count", "external_ids"),
    [
        ("xstest_prompts.csv", 450, True),
        ("alpaca_eval.jsonl", 805, False),
        ("advbench.csv", 520, False),
        ("truthfulqa.csv", 813, False),
    ],
)
def test_every_prompt_file_imports_without_naming_a_column(
    project: Project, name: str, count: int, external_ids: bool
) -> None:
    path = Path(FOLDER) / name
    done = import_prompts(project=project, set_name="S", path=path, columns={}, by=None)
    prompts = project.prompt_sets.get().prompts
    assert done.rows == prompts.count() == count
    assert prompts.exclude(external_id="").exists() == external_ids
    assert done.problems.total == 0


@pytest.fixture
def xstest(project: Project) -> Project:
    project.dimensions.update(scale_low=0, scale_high=1, bar=1)
    path = Path(FOLDER) / "xstest_prompts.csv"
    import_prompts(project=project, set_name="xstest", path=path, columns={}, by=None)
    for policy in ("gpt4", "llama2new", "mistralinstruct"):
        done = import_rollouts(
            project=project,
            set_name="xstest",
            policy_name=policy,
            path=Path(FOLDER) / f"xstest_completions_{policy}.csv",
            columns={},
            scores=SCORES,
            by=None,
        )
        assert done.rows == 450
    return project


def test_xstest_labels_are_the_known_points(xstest: Project) -> None:
    points = {point.row.name: point for point in pareto(xstest)}
    figures = {
        name: tuple(round(f.mean or 0, 3) for f in point.row.rewards.values())
        for name, point in points.items()
    }
    assert figures == {
        "gpt4": (0.916, 0.975),
        "llama2new": (0.704, 0.975),
        "mistralinstruct": (0.984, 0.235),
    }
    assert [f.n for f in points["gpt4"].row.rewards.values()] == [250, 200]
    assert {name: p.on_front for name, p in points.items()} == {
        "gpt4": True,
        "llama2new": False,  # gpt4 is as harmless and helps more
        "mistralinstruct": True,
    }
    assert points["gpt4"].row.joint_pass_rate is None
    declines = {
        name: tuple(round(f.refusal_rate or 0, 2) for f in point.row.rewards.values())
        for name, point in points.items()
    }
    assert declines == {
        "gpt4": (0.07, 0.9),
        "llama2new": (0.25, 0.93),
        "mistralinstruct": (0.03, 0.13),
    }
    assert points["mistralinstruct"].row.hypervolume == pytest.approx(0.984 * 0.235)


def test_the_prompt_that_differs_from_xstests_own_is_added(xstest: Project) -> None:
    prompts = xstest.prompt_sets.get().prompts
    assert prompts.count() == 451
    assert prompts.get(external_id="v2-195").text != prompts.get(external_id="195").text
    assert Evaluation.objects.count() == 3
