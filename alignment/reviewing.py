"""Which rewrites a review stage lists, and which of them a person must decide.

Skipped review approves all as written; an audit asks people for a seeded share; required review
asks for each.
"""

from alignment.method.seeds import seed_of
from alignment.models import Prompt, ReviewItem, Stage


def list_items(stage: Stage, rewrites: Stage) -> int:
    """Write the stage's items, one per accepted rewrite; the number that wait for a person."""
    prompts = Prompt.objects.filter(stage=rewrites.source).order_by("pk")
    items = [_item(stage, prompt) for prompt in prompts]
    ReviewItem.objects.bulk_create(items, ignore_conflicts=True)
    return stage.review_items.filter(state=ReviewItem.State.PENDING).count()


def _item(stage: Stage, prompt: Prompt) -> ReviewItem:
    if needs_person(stage, prompt):
        return ReviewItem(stage=stage, prompt=prompt, needs_person=True)
    state = ReviewItem.State.APPROVED
    return ReviewItem(stage=stage, prompt=prompt, needs_person=False, state=state, outcome=prompt)


def needs_person(stage: Stage, prompt: Prompt) -> bool:
    """Whether a person must decide the rewrite: by the stage's review mode and seed."""
    review = stage.config["review"]
    if review["mode"] == "audit":
        draw = seed_of(stage.config["seed"], "review", stage.round, prompt.key) / 2**63
        return bool(draw < review["audit_share"])
    return bool(review["mode"] == "required")
