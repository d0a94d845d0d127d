"""Rewrites that wait for people, for the browser tests of the review desk."""

from django.contrib.auth.models import User

from alignment.models import Membership, Project, Prompt, Review, ReviewItem, Role, Run
from tests.browser.conftest import PASSWORD
from tests.web.conftest import add_rewrite, put, stage_of


def waiting_items(run: Run, count: int) -> list[ReviewItem]:
    """So many rewrites in the run's review stage, which waits for people."""
    review = put(stage_of(run, "review"), status="waiting", total=count, unit="rewrites")
    held = run.project.prompt_sets.get(name="mixed")
    found = []
    for i in range(count):
        text = f"How do I mend {i} tables?"
        seed = Prompt.objects.create(prompt_set=held, text=text, key=Prompt.key_of(text))
        found.append(add_rewrite(review, seed, f"{text} Say how.", "Harm."))
    Run.objects.filter(pk=run.pk).update(status="waiting")
    return found


def member(project: Project, name: str, role: Role) -> User:
    user = User.objects.create_user(name, password=PASSWORD)
    Membership.objects.create(project=project, user=user, role=role)
    return user


def decisions() -> list[str]:
    """What stands, in the order it was said."""
    standing = Review.objects.filter(withdrawn_at=None).order_by("pk")
    return list(standing.values_list("decision", flat=True))
