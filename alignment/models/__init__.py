"""What is recorded, by noun."""

from alignment.models.keys import ApiKey
from alignment.models.projects import Dimension, Judge, Membership, Policy, Project, Role
from alignment.models.prompts import Prompt, PromptSet
from alignment.models.results import (
    Evaluation,
    Pair,
    RewriteAttempt,
    Rollout,
    Sampling,
    Score,
    TrainingStep,
    Verdict,
)
from alignment.models.reviews import Review, ReviewItem
from alignment.models.runs import ENDED, Chunk, Event, LogLine, Run, Stage, Status, Worker

__all__ = [
    "ENDED",
    "ApiKey",
    "Chunk",
    "Dimension",
    "Evaluation",
    "Event",
    "Judge",
    "LogLine",
    "Membership",
    "Pair",
    "Policy",
    "Project",
    "Prompt",
    "PromptSet",
    "Review",
    "ReviewItem",
    "RewriteAttempt",
    "Role",
    "Rollout",
    "Run",
    "Sampling",
    "Score",
    "Stage",
    "Status",
    "TrainingStep",
    "Verdict",
    "Worker",
]
