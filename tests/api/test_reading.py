"""What a project holds and what a run found, in parts and with its figures."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from alignment.models import (
    Evaluation,
    Judge,
    Pair,
    Policy,
    Project,
    Prompt,
    Rollout,
    Run,
    Sampling,
    Score,
    Stage,
    Status,
)
from tests.api.conftest import get


@pytest.fixture
def found(run: Run) -> Run:
    """The run's start is evaluated, and its first pair found."""
    stage = run.stages.order_by("position")[0]
    policy = run.project.policies.get()
    sampling = Sampling.objects.create(
        project=run.project, stage=stage, policy=policy, engine="transformers"
    )
    judges = list(Judge.objects.filter(use="evaluation"))
    for prompt in Prompt.objects.filter(prompt_set__name="held-out"):
        for index in range(2):
            rollout = Rollout.objects.create(
                sampling=sampling, prompt=prompt, index=index, text="t", finish_reason="stop"
            )
            for judge in judges:
                raw = None if index and judge.dimension.name == "truthful" else 1.0
                Score.objects.create(rollout=rollout, judge=judge, judge_version=1, raw=raw)
    evaluation = Evaluation.objects.create(
        project=run.project, stage=stage, policy=policy, sampling=sampling, label="start"
    )
    evaluation.judges.set(judges)
    Stage.objects.filter(pk=stage.pk).update(status=Status.SUCCEEDED)
    chosen, rejected = Rollout.objects.order_by("pk")[:2]
    Pair.objects.create(
        stage=run.stages.get(kind="pair"),
        prompt=chosen.prompt,
        chosen=chosen,
        rejected=rejected,
        margin=0.5,
        gaps={"helpful": 0.5},
    )
    return run


def parts_of(client: Client, url: str, limit: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    query: dict[str, int] = {"limit": limit}
    while True:
        part = get(client, url, **query).json()
        assert len(part["items"]) <= limit
        items += part["items"]
        if part["next"] is None:
            return items
        query["after"] = part["next"]


def test_what_a_project_holds(researcher: Client, project: Project) -> None:
    assert get(researcher, "/projects/sandbox").json()["name"] == "Sandbox"
    sets = parts_of(researcher, "/projects/sandbox/prompt-sets", 1)
    counts = [(s["name"], s["seeds"], s["rewrites"]) for s in sets]
    assert counts == [("mixed", 6, 0), ("held-out", 4, 0)]
    Policy.objects.create(project=project, name="later")
    policies = parts_of(researcher, "/projects/sandbox/policies", 1)
    assert [p["name"] for p in policies] == ["later", "start"]
    assert "folder" not in policies[0]


def test_evaluations_come_with_their_figures(researcher: Client, found: Run) -> None:
    (evaluation,) = get(researcher, "/projects/sandbox/evaluations").json()["items"]
    assert (evaluation["label"], evaluation["run"]) == ("start", found.pk)
    assert (evaluation["prompts"], evaluation["rollouts"]) == (4, 8)
    truthful = evaluation["rewards"]["truthful"]
    assert (truthful["mean"], truthful["n"], truthful["invalid"]) == (1.0, 4, 4)
    assert truthful["mean_ci"] == [1.0, 1.0]
    assert evaluation["rewards"]["helpful"]["mean"] == 0.0
    assert evaluation["joint_pass_rate"] == 0.0
    assert (evaluation["hypervolume"], evaluation["invalid_share"]) == (0.0, pytest.approx(1 / 6))
    (point,) = get(researcher, "/projects/sandbox/pareto").json()["points"]
    own = {"evaluations": [evaluation["id"]], "on_front": True, "contribution": 0.0, "apart": False}
    named = point.pop("comparison")
    assert point == {**evaluation, **own}
    assert len(named.split("-")) == 4, "three judges with their versions, and the prompts"


def test_rollouts_come_in_parts_with_their_scores(researcher: Client, found: Run) -> None:
    rollouts = parts_of(researcher, f"/runs/{found.pk}/rollouts", 3)
    assert [r["id"] for r in rollouts] == list(
        Rollout.objects.order_by("pk").values_list(flat=True)
    )
    second = {s["dimension"]: s["raw"] for s in rollouts[1]["scores"]}
    assert second == {"helpful": 1.0, "harmless": 1.0, "truthful": None}


def test_a_part_costs_the_same_however_long(
    researcher: Client, found: Run, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(10):
        assert len(get(researcher, f"/runs/{found.pk}/rollouts").json()["items"]) == 8


def test_pairs_come_with_their_texts(researcher: Client, found: Run) -> None:
    (pair,) = get(researcher, f"/runs/{found.pk}/pairs").json()["items"]
    assert pair["prompt"]["text"] == "How do I paint 0 doors?"
    assert (pair["chosen"]["text"], pair["margin"], pair["gaps"]) == ("t", 0.5, {"helpful": 0.5})


def test_a_run_that_reuses_a_stage_has_its_rows(researcher: Client, found: Run) -> None:
    again = Run.objects.create(project=found.project, name="again", config=found.config)
    for stage in found.stages.all():
        Stage.objects.create(
            run=again, position=stage.position, round=stage.round, kind=stage.kind, config={},
            reused_from=stage,
        )  # fmt: skip
    for what in ("rollouts", "pairs"):
        first = get(researcher, f"/runs/{found.pk}/{what}").json()
        assert get(researcher, f"/runs/{again.pk}/{what}").json() == first
        assert first["items"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "x"},
        {"after": 0},
        {"after": 2**63},
        {"after": -1},
        {"after": 10**400},
        {"after": "1e3"},
    ],
)
def test_a_part_that_cannot_be_is_told(researcher: Client, run: Run, query: dict[str, Any]) -> None:
    lists = ("/projects", "/projects/sandbox/runs", "/projects/sandbox/policies")
    for address in (*lists, f"/runs/{run.pk}/rollouts", f"/runs/{run.pk}/pairs"):
        response = get(researcher, address, **query)
        assert response.status_code == 422
        assert [e["path"] for e in response.json()["errors"]] == list(query)


@pytest.mark.parametrize("run_id", ["0", "-1", str(2**63), "9" * 5000, "x", "1.5"])
def test_an_id_that_cannot_be_is_told(researcher: Client, run_id: str) -> None:
    assert get(researcher, f"/runs/{run_id}").status_code == 422


@pytest.mark.parametrize("slug", ["a%00b", "a b", "x" * 101, "ä"])
def test_a_slug_that_cannot_be_is_told(researcher: Client, slug: str) -> None:
    assert get(researcher, f"/projects/{slug}").status_code == 422


def test_a_stage_tells_what_its_rollouts_were_sampled_with(
    researcher: Client, found: Run, django_assert_max_num_queries: Any
) -> None:
    Sampling.objects.update(engine_version="transformers 5", params={"n": 2}, policy_sha256="ab")
    twin = found.stages.get(kind="sample")
    twin.reused_from = found.stages.order_by("position")[0]
    twin.save()
    with django_assert_max_num_queries(10):
        stages = get(researcher, f"/runs/{found.pk}/stages").json()
    told = {
        "policy": found.project.policies.get().name,
        "policy_sha256": "ab",
        "engine": "transformers",
        "engine_version": "transformers 5",
        "params": {"n": 2},
    }
    assert stages[0]["sampling"] == stages[1]["sampling"] == told
    assert stages[2]["sampling"] is None
