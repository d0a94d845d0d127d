"""What the API takes and gives. Docstrings and descriptions are the reference page's text."""

from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import ConfigDict, Field, StringConstraints

from alignment.method.config import RunConfig
from alignment.models import Evaluation, Policy, Run, Sampling, Stage
from alignment.queries.hold_ups import hold_ups
from alignment.queries.points import Point
from alignment.queries.results import PolicyRow

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Interval = tuple[float, float] | None


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


class RunIn(Strict):
    """A run to create. Its name is unique in the project, so sending it twice creates it once."""

    name: Name
    config: RunConfig
    start: bool = Field(False, description="start it at once")


class SweepIn(Strict):
    """Runs that differ in the share of the pairs they train on; each name ends with its share."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=90, strip_whitespace=True)]
    config: RunConfig
    shares: list[float] = Field(min_length=1, max_length=20)


class ConfigIn(Strict):
    config: dict[str, Any]


class ProjectOut(Schema):
    id: int
    slug: str
    name: str
    description: str
    created_at: datetime


class PromptSetOut(Schema):
    id: int
    name: str
    source: str
    created_at: datetime
    seeds: int
    rewrites: int


class PolicyIn(Strict):
    """A model's folder below MODEL_ROOTS, or an endpoint with the name of the model there."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    folder: str = Field("", max_length=500)
    endpoint: str = Field("", max_length=100)
    served_as: str = Field("", max_length=200)


class PolicyOut(Schema):
    """`parent` and `stage` are those that trained it; a start policy has neither. `sha256` is of
    the weights, as they were when they were first used."""

    id: int
    name: str
    endpoint: str
    served_as: str
    sha256: str
    adapter_sha256: str
    parent: int | None
    stage: int | None
    facts: dict[str, Any]
    created_at: datetime

    @staticmethod
    def resolve_parent(policy: Policy) -> int | None:
        return policy.parent_id

    @staticmethod
    def resolve_stage(policy: Policy) -> int | None:
        return policy.stage_id


class FiguresOut(Schema):
    """Over `n` valid scores; intervals hold 95 %; null where undefined. `refusal_rate` is of the
    completions judged on this dimension, which may have a prompt set of its own."""

    mean: float | None
    mean_ci: Interval
    pass_rate: float | None
    pass_rate_ci: Interval
    n: int
    invalid: int
    refusal_rate: float | None
    refusal_rate_ci: Interval


class EvaluationOut(Schema):
    """The figures of a policy on held-out prompts, computed from the stored scores.

    `rewards` is by dimension; `hypervolume` is of the mean reward vector against 0;
    `invalid_share` is of all scores, `cut_share` of rollouts stopped by length, `refusal_rate` of
    completions that decline, null where nobody looked and where dimensions were judged on other
    completions, each with its own rate in `rewards`.
    """

    id: int
    label: str
    policy: int
    run: int | None
    stage: int | None
    created_at: datetime
    rewards: dict[str, FiguresOut]
    joint_pass_rate: float | None
    joint_pass_rate_ci: Interval
    hypervolume: float | None
    prompts: int
    rollouts: int
    invalid_share: float | None
    cut_share: float | None
    refusal_rate: float | None
    refusal_rate_ci: Interval


class PointOut(EvaluationOut):
    """A policy over all its `evaluations` by the same judges on the same prompts, sampled with the
    same settings; `id`, `run`, `stage` and `created_at` are those of the first. `on_front`: no
    policy that it may be compared with dominates it, on the prompts that all of these answered;
    `contribution`: the hypervolume lost without it. Both are null where a dimension has no mean,
    and where the policy is `apart`: it answered fewer than half of the prompts. `comparison`:
    equal for policies that may be compared, which alone are on one front."""

    evaluations: list[int]
    on_front: bool | None
    contribution: float | None
    apart: bool
    comparison: str


class ParetoOut(Schema):
    points: list[PointOut]


class Warnings(Schema):
    """Errors keep the configuration from running, warnings do not; errors are by path."""

    errors: dict[str, str]
    warnings: list[str]


class RunOut(Schema):
    """`seq` is the number of its latest event."""

    id: int
    project: str
    name: str
    status: str
    seq: int
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @staticmethod
    def resolve_project(run: Run) -> str:
        return run.project.slug

    @staticmethod
    def resolve_created_by(run: Run) -> str | None:
        return run.created_by.get_username() if run.created_by else None


class RunWhole(RunOut):
    """`hold_ups` are sentences on what keeps a live run from going on, as far as is known."""

    config: dict[str, Any]
    hold_ups: list[str]

    @staticmethod
    def resolve_hold_ups(run: Run) -> list[str]:
        return hold_ups(run)


class SamplingOut(Schema):
    """What rollouts were sampled with: the policy by the hash of its weights, where they are here,
    the engine and its version, and the parameters."""

    policy: str
    policy_sha256: str
    engine: str
    engine_version: str
    params: dict[str, Any]

    @staticmethod
    def resolve_policy(sampling: Sampling) -> str:
        return sampling.policy.name


class StageOut(Schema):
    """`done` of `total`, counted in `unit`; `reused_from` is the stage whose results it has;
    `sampling` is null for a stage that samples nothing."""

    id: int
    position: int
    round: int
    kind: str
    status: str
    reason: str
    empty: bool
    reused_from: int | None = Field(alias="reused_from_id")
    total: int
    done: int
    unit: str
    facts: dict[str, Any]
    sampling: SamplingOut | None
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None

    @staticmethod
    def resolve_sampling(stage: Stage) -> Sampling | None:
        return getattr(stage.source, "sampling", None)


def evaluation_out(row: PolicyRow) -> dict[str, Any]:
    """The fields of EvaluationOut."""
    evaluation: Evaluation = row.evaluation
    return {
        "id": evaluation.pk,
        "label": row.name,
        "policy": evaluation.policy_id,
        "run": evaluation.stage.run_id if evaluation.stage else None,
        "stage": evaluation.stage_id,
        "created_at": evaluation.created_at,
        "rewards": row.rewards,
        "joint_pass_rate": row.joint_pass_rate,
        "joint_pass_rate_ci": row.joint_pass_rate_ci,
        "hypervolume": row.hypervolume,
        "prompts": row.prompts,
        "rollouts": row.rollouts,
        "invalid_share": row.invalid_share,
        "cut_share": row.cut_share,
        "refusal_rate": row.refusal_rate,
        "refusal_rate_ci": row.refusal_rate_ci,
    }


def point_out(point: Point) -> dict[str, Any]:
    """The fields of PointOut."""
    front = {
        "on_front": point.on_front,
        "contribution": point.contribution,
        "apart": point.apart,
        "comparison": point.row.comparison_key,
    }
    pooled = [evaluation.pk for evaluation in point.row.evaluations]
    return {**evaluation_out(point.row), "evaluations": pooled, **front}
