"""The run that a chaos console does: small chunks, every kind of stage, a review by a person."""

from django.contrib.auth.models import User

from alignment.method.errors import MoraError
from alignment.models import Policy, ReviewItem, Run, TrainingStep
from alignment.services import runs
from alignment.services.answers import Answer
from alignment.services.reviews import decide_rewrite
from tests.builders import add_prompts, make_project, make_run
from tests.outcome import rows_of
from workers.sandbox import world

SAMPLE = {"n": 8, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64, "chunk_prompts": 2}
TRAIN = {"learning_rate": 1e-3, "epochs": 4, "checkpoint_steps": 2, "batch_pairs": 4}
PROMPTS: dict[str, tuple[int, dict[world.Kind, int]]] = {
    "mixed": (21, {"helpful": 4, "safety": 20, "mixed": 4}),
    "held-out": (22, {"helpful": 2, "safety": 4, "mixed": 2}),
}


def reviewer() -> User:
    user, _ = User.objects.get_or_create(username="ada", is_superuser=True)
    return user


def start(slug: str, policy: tuple[str, str]) -> Run:
    """A started run in a project of its own, so that it finds no twin to reuse."""
    project = make_project(slug)
    folder, digest = policy
    Policy.objects.create(project=project, name="start", folder=folder, sha256=digest)
    for name, (seed, counts) in PROMPTS.items():
        add_prompts(project, name, [p.text for p in world.prompts(seed, counts)])
    run = make_run(
        project,
        reviewer(),
        sample=SAMPLE,
        train=TRAIN,
        review={"mode": "required", "close_after_seconds": 1},
    )
    runs.start_run(run=run, by=reviewer())
    return run


def decide_next(run: Run) -> int | None:
    """Decide one pending rewrite by its text alone; its id once the decision is acknowledged."""
    pending = ReviewItem.objects.filter(stage__run=run, state=ReviewItem.State.PENDING)
    item = pending.select_related("prompt").first()
    if item is None:
        return None
    answer = Answer(decision="approve")
    if item.prompt.key[0] == "0":
        answer = Answer(decision="reject", reason="not_natural")
    elif item.prompt.key[0] == "1":
        answer = Answer(decision="edit", text=item.prompt.text + " Please be brief.")
    try:
        decide_rewrite(item=item, by=reviewer(), answer=answer)
    except MoraError:  # decided already: the answer to an earlier try was lost with its server
        return None
    return item.pk


def record_of(run: Run) -> list[str]:
    """The outcome's rows and the numbers of the training steps, sorted."""
    steps = TrainingStep.objects.filter(stage__run=run).values_list("stage__position", "step")
    return sorted(rows_of(run) + [f"step {position} {step}" for position, step in steps])
