"""What is recorded, by noun."""

from alignment.models.desk import BulkDecision, Guideline, Invitation
from alignment.models.judges import Judge, JudgeTrial, Rewriter
from alignment.models.keys import ApiKey
from alignment.models.projects import Dimension, Membership, Policy, Project, Role
from alignment.models.prompts import Prompt, PromptSet
from alignment.models.results import (
    Evaluation,
    Pair,
    PooledVolume,
    Preference,
    RewriteAttempt,
    Rollout,
    Sampling,
    Score,
    TrainingStep,
    Verdict,
)
from alignment.models.reviews import (
    Review,
    ReviewDraft,
    Reviewer,
    ReviewItem,
    ReviewTally,
    RolloutRating,
)
from alignment.models.runs import ENDED, Chunk, Event, LogLine, Run, Stage, Status, Worker

__all__ = [
    "ENDED",
    "ApiKey",
    "BulkDecision",
    "Chunk",
    "Dimension",
    "Evaluation",
    "Event",
    "Guideline",
    "Invitation",
    "Judge",
    "JudgeTrial",
    "LogLine",
    "Membership",
    "Pair",
    "Policy",
    "PooledVolume",
    "Preference",
    "Project",
    "Prompt",
    "PromptSet",
    "Review",
    "ReviewDraft",
    "ReviewItem",
    "ReviewTally",
    "Reviewer",
    "RewriteAttempt",
    "Rewriter",
    "Role",
    "Rollout",
    "RolloutRating",
    "Run",
    "Sampling",
    "Score",
    "Stage",
    "Status",
    "TrainingStep",
    "Verdict",
    "Worker",
]
