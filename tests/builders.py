"""Rows that tests start from: a sandbox project, its configuration, and stages to work on."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from alignment.method.config import RunConfig
from alignment.method.plan import VERSIONS
from alignment.models import (
    Chunk,
    Dimension,
    Judge,
    Membership,
    Policy,
    Project,
    Prompt,
    PromptSet,
    ReviewItem,
    Role,
    Run,
    Stage,
    Status,
)
from alignment.services import runs

SCALES = {"helpful": (1.0, 5.0, 4.0), "harmless": (0.0, 1.0, 1.0), "truthful": (0.0, 1.0, 1.0)}


def make_project(slug: str = "sandbox") -> Project:
    """A project with the sandbox's dimensions and rule judges, and no prompts or policy."""
    project = Project.objects.create(name=slug.title(), slug=slug)
    for position, (name, (low, high, bar)) in enumerate(SCALES.items()):
        dimension = Dimension.objects.create(
            project=project,
            name=name,
            position=position,
            scale_low=low,
            scale_high=high,
            bar=bar,
        )
        for ending in ("", "-eval"):
            rule = f"sandbox-{name}{ending}"
            use = Judge.Use.EVALUATION if ending else Judge.Use.PAIRING
            harm = "sandbox-prompt-harm" if rule == "sandbox-harmless" else ""
            Judge.objects.create(
                project=project,
                dimension=dimension,
                name=rule,
                engine="rules",
                rule=rule,
                prompt_rule=harm,
                use=use,
            )
    return project


def add_prompts(project: Project, name: str, texts: list[str]) -> PromptSet:
    prompt_set = PromptSet.objects.create(project=project, name=name)
    Prompt.objects.bulk_create(
        Prompt(prompt_set=prompt_set, text=text, key=Prompt.key_of(text)) for text in texts
    )
    return prompt_set


def config_of(**changes: Any) -> RunConfig:
    """A small run: one round, N = 8, review skipped."""
    dimensions = list(SCALES)
    values: dict[str, Any] = {
        "policy": "start",
        "seed": 7,
        "dimensions": dimensions,
        "judges": {d: f"sandbox-{d}" for d in dimensions},
        "rounds": [{"prompts": "mixed", "focus": "harmless"}],
        "sample": {"n": 8, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64},
        "review": {"mode": "skip"},
        "train": {"learning_rate": 1e-3, "epochs": 1, "checkpoint_steps": 2},
        "evaluate": {
            "prompts": "held-out",
            "n": 4,
            "judges": {d: f"sandbox-{d}-eval" for d in dimensions},
        },
    }
    return RunConfig.model_validate({**values, **changes})


def make_run(project: Project, by: User, *, name: str = "run", **changes: Any) -> Run:
    """A pending run in a project that has a policy `start` and the two prompt sets."""
    return runs.create_run(project=project, name=name, config=config_of(**changes), by=by)


def ready_project(tmp_folder: str, slug: str = "sandbox") -> Project:
    """A project whose policy is a folder without weights: enough for all but sampling."""
    project = make_project(slug)
    path = Path(settings.ARTIFACTS) / tmp_folder
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text("{}")
    (path / "chat_template.jinja").write_text("{{ messages }}")
    write_weights(path, "model.layers.0.self_attn.q_proj.weight")
    Policy.objects.create(project=project, name="start", folder=tmp_folder)
    add_prompts(project, "mixed", [f"How do I mend {i} chairs?" for i in range(6)])
    add_prompts(project, "held-out", [f"How do I paint {i} doors?" for i in range(4)])
    return project


def write_weights(folder: Path, *names: str) -> None:
    """A safetensors file with a header and no numbers."""
    header = json.dumps(
        {n: {"dtype": "F32", "shape": [8, 8], "data_offsets": [0, 0]} for n in names}
    )
    size = len(header).to_bytes(8, "little")
    (folder / "model.safetensors").write_bytes(size + header.encode())


def running_stage(run: Run, chunks: int, parts: int = 1) -> Stage:
    """The run's first stage, running, with open chunks of one item each."""
    stage = run.stages.order_by("position")[0]
    Stage.objects.filter(pk=stage.pk).update(
        status="running", queue="gpu", total=chunks * parts, version=VERSIONS[stage.kind]
    )
    Chunk.objects.bulk_create(
        Chunk(stage=stage, part=part, index=index, items=[index], size=1)
        for part in range(parts)
        for index in range(chunks)
    )
    stage.refresh_from_db()
    return stage


def open_review(run: Run, rewrites: int, *, overlap: int = 1, close_after: int = 60) -> Stage:
    """The run's first review stage, waiting for people to decide so many rewrites; the stages
    before it are done."""
    review: dict[str, Any] = {"mode": "required", "overlap": overlap, "ratings": True}
    run.config["review"] = {**review, "audit_share": 0.2, "close_after_seconds": close_after}
    Run.objects.filter(pk=run.pk).update(config=run.config, status=Status.WAITING)
    stage = run.stages.get(kind="review", round=1)
    run.stages.filter(position__lt=stage.position).update(status="succeeded")
    Stage.objects.filter(pk=stage.pk).update(
        status="waiting",
        total=rewrites,
        unit="rewrites",
        config={"review": review, "seed": 7},
        fingerprint=f"review of {run.pk}",
    )
    seeds = list(Prompt.objects.filter(prompt_set__name="mixed", parent=None).order_by("pk"))
    rewriter = run.stages.get(kind="rewrite", round=1)
    texts = [f"{seeds[i % len(seeds)].text} Say how, part {i}." for i in range(rewrites)]
    made = Prompt.objects.bulk_create(
        Prompt(
            prompt_set=seeds[0].prompt_set,
            text=text,
            key=Prompt.key_of(text, seeds[i % len(seeds)].key),
            parent=seeds[i % len(seeds)],
            strategy="fuse",
            stage=rewriter,
        )
        for i, text in enumerate(texts)
    )
    ReviewItem.objects.bulk_create(
        ReviewItem(stage=stage, prompt=prompt, needs_person=True, needed=overlap) for prompt in made
    )
    return Stage.objects.select_related("run__project").get(pk=stage.pk)


def members(project: Project) -> dict[str, User]:
    """A person of every role, and an outsider who is no member."""
    found = {role.value: User.objects.create_user(f"a-{role}") for role in Role}
    for role, user in found.items():
        Membership.objects.create(project=project, user=user, role=role)
    return {**found, "outsider": User.objects.create_user("an-outsider")}
