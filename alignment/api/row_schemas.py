"""The rows of one run as the API gives them: events, rollouts with scores, attempts, pairs."""

from datetime import datetime
from typing import Any

from ninja import Schema

from alignment.models import Pair, Prompt, RewriteAttempt, Rollout, Score


class EventOut(Schema):
    seq: int
    kind: str
    data: dict[str, Any]
    at: datetime


class EventsOut(Schema):
    """Ask again with `after` = `next`; when `ended`, nothing more will come."""

    items: list[EventOut]
    next: int
    ended: bool


class ScoreOut(Schema):
    """`raw` and `reward` are null where the judge could not score, for the `reason` given."""

    dimension: str
    judge: str
    judge_version: int
    raw: float | None
    reward: float | None
    reason: str

    @staticmethod
    def resolve_dimension(score: Score) -> str:
        return score.judge.dimension.name

    @staticmethod
    def resolve_judge(score: Score) -> str:
        return score.judge.name


class RolloutOut(Schema):
    id: int
    stage: int | None
    prompt: int
    index: int
    text: str
    tokens: int | None
    finish_reason: str
    seed: int | None
    scores: list[ScoreOut]

    @staticmethod
    def resolve_stage(rollout: Rollout) -> int | None:
        return rollout.sampling.stage_id

    @staticmethod
    def resolve_prompt(rollout: Rollout) -> int:
        return rollout.prompt_id


class TextOut(Schema):
    id: int
    text: str


class CheckOut(Schema):
    name: str
    passed: bool
    detail: str


class AttemptOut(Schema):
    """One reply of the rewriter. `text`: the rewrite in it, empty where none could be read;
    `harm_change`: harm of the prompt's own text after less before, null where nobody tells it."""

    id: int
    stage: int
    prompt: TextOut
    index: int
    strategy: str
    reply: str
    text: str
    checks: list[CheckOut]
    accepted: bool
    harm_change: float | None

    @staticmethod
    def resolve_stage(attempt: RewriteAttempt) -> int:
        return attempt.stage_id

    @staticmethod
    def resolve_prompt(attempt: RewriteAttempt) -> Prompt:
        return attempt.parent


class PairOut(Schema):
    id: int
    stage: int
    prompt: TextOut
    chosen: TextOut
    rejected: TextOut
    margin: float
    gaps: dict[str, float]

    @staticmethod
    def resolve_stage(pair: Pair) -> int:
        return pair.stage_id
