"""The sandbox project that `make demo` works in, and the run it starts.

Everything is made where it is missing and left where it is there. The sandbox exercises the
machinery; it is no evidence for the paper's claim, and the project's description says so.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction

from alignment.method.config import RunConfig
from alignment.models import Dimension, Judge, Policy, Project, Prompt, PromptSet, Run, Status
from alignment.services import runs
from workers.child import Child
from workers.sandbox import demo_config, world

SLUG = "sandbox"
DESCRIPTION = (
    "The sandbox is a made-up world built so that the conflict exists. Its figures exercise the"
    " method; they are not evidence for it."
)
POLICY = "sandbox"
POLICY_SEED = 1
Say = Callable[[str], None]


def make_user() -> tuple[User, str]:
    """The demo's owner, and its password when it was made just now."""
    user = User.objects.filter(username="demo").first()
    if user is not None:
        return user, ""
    password = secrets.token_urlsafe(12)
    return User.objects.create_superuser("demo", password=password), password


def make_project(
    slug: str = SLUG,
    name: str = "Sandbox",
    sets: Mapping[str, demo_config.Grammar] = demo_config.PROMPT_SETS,
) -> Project:
    """A sandbox project with its dimensions, judges and prompt sets."""
    project, _ = Project.objects.get_or_create(
        slug=slug, defaults={"name": name, "description": DESCRIPTION}
    )
    with transaction.atomic():
        for position, (name, scale) in enumerate(demo_config.DIMENSIONS.items()):
            dimension, _ = Dimension.objects.get_or_create(
                project=project, name=name, defaults={"position": position, **scale}
            )
            _make_judges(project, dimension)
        for name, (seed, counts) in sets.items():
            _make_prompts(project, name, seed, counts)
    return project


def _make_judges(project: Project, dimension: Dimension) -> None:
    harm = "sandbox-prompt-harm" if dimension.name == "harmless" else ""
    for use, ending in ((Judge.Use.PAIRING, ""), (Judge.Use.EVALUATION, "-eval")):
        rule = f"sandbox-{dimension.name}{ending}"
        Judge.objects.get_or_create(
            project=project,
            name=rule,
            defaults={
                "dimension": dimension,
                "engine": Judge.Engine.RULES,
                "rule": rule,
                "use": use,
                "prompt_rule": "" if ending else harm,
            },
        )


def _make_prompts(project: Project, name: str, seed: int, counts: dict[world.Kind, int]) -> None:
    prompt_set, made = PromptSet.objects.get_or_create(
        project=project, name=name, defaults={"source": "the sandbox's grammar"}
    )
    if made:
        Prompt.objects.bulk_create(
            Prompt(prompt_set=prompt_set, text=p.text, kind=p.kind, key=Prompt.key_of(p.text))
            for p in world.prompts(seed, counts)
        )


def make_policy(project: Project, meanwhile: Callable[[], None], say: Say) -> None:
    """Make the start policy in a thread, and call `meanwhile` again and again until it is there."""
    stop = threading.Event()

    def make() -> None:
        try:
            _train_policy(project, stop, say)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(make)
        try:
            while not making.done():
                meanwhile()
        finally:
            stop.set()
        making.result()


def _train_policy(project: Project, stop: threading.Event, say: Say) -> Policy:
    """The start policy, trained on the spot in under a minute where it is missing."""
    policy = project.policies.filter(name=POLICY).first()
    if policy is not None and policy.path.is_dir():
        return policy
    folder = f"{project.slug}/policy-{POLICY_SEED}"
    spec = {"engine": "sandbox-builder", "threads": settings.ENGINE_THREADS}
    child = Child(spec, lambda line: None)
    try:
        args = {"directory": str(settings.ARTIFACTS / folder), "seed": POLICY_SEED}

        def tell(frame: dict[str, Any]) -> None:
            if frame["step"] % 50 == 0 or frame["step"] == frame["steps"]:
                say(f"sandbox policy: step {frame['step']} of {frame['steps']}")

        built = child.call("build", args, stop=stop, on_progress=tell)
    finally:
        child.end()
    return Policy.objects.update_or_create(
        project=project, name=POLICY, defaults={"folder": folder, "sha256": built["sha256"]}
    )[0]


def run_of(project: Project, seed: int, by: User) -> Run:
    """The demo's run of this seed: the one that is there, else a new one; started."""
    config = RunConfig.model_validate(demo_config.run_config(seed))
    stored = config.model_dump(mode="json")
    name = f"mora-seed-{seed}"
    run = project.runs.filter(config=stored, name__startswith=name).order_by("pk").first()
    if run is None:
        same = project.runs.filter(name__startswith=name).count()
        name = f"{name}-{same + 1}" if same else name
        run = runs.create_run(project=project, name=name, config=config, by=by)
    if run.status == Status.PENDING:
        runs.start_run(run=run, by=by)
    elif run.status in (Status.FAILED, Status.CANCELLED):
        runs.retry_run(run=run, by=by)
    return run
