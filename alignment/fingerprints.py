"""A stage's fingerprint: what decides its result. Equal fingerprints share one result.

It covers the stage's settings, the stages before it, and the contents behind every name in them.
"""

import json
from pathlib import Path

from django.db import connection

from alignment.method import plan
from alignment.model_folders import likeness
from alignment.models import Judge, Policy, Rewriter, Run, Stage, Status


def fingerprint_of(stage: Stage, before: list[Stage]) -> str:
    """The stage's fingerprint: its settings, the stages before it, and what they name."""
    a_plan = plan.StagePlan(
        position=stage.position, round=stage.round, kind=stage.kind, config=stage.config
    )
    chain = " ".join(s.fingerprint for s in inputs_of(stage, before))
    inputs: dict[str, str | None] = {"before": chain, **_named(stage)}
    if stage.kind == "review" and stage.config["review"]["mode"] != "skip":
        inputs["run"] = str(stage.run_id)  # people decide anew in every run
    return plan.fingerprint(a_plan, inputs)


def outdated_stage(run: Run) -> Stage | None:
    """The run's first begun stage by this version of its code whose settings name what is not as
    it was; of prompts, only those that every policy is evaluated on."""
    stages = list(run.stages.select_related("run__project", "reused_from").order_by("position"))
    for i, stage in enumerate(stages):
        is_ours = stage.source.version == plan.VERSIONS[stage.kind]
        if stage.kind == "sample" or not stage.fingerprint or not is_ours:
            continue
        if fingerprint_of(stage, stages[:i]) != stage.fingerprint:
            return stage
    return None


def inputs_of(stage: Stage, before: list[Stage]) -> list[Stage]:
    """The stages whose results reach this one, oldest first.

    An evaluation and the first stage of a round see only the policies trained before them; the
    others also see the earlier stages of their own round.
    """
    trained = [s for s in before if s.kind == "train" and not s.empty and not _skipped(s)]
    found = trained[-1:]
    if stage.kind not in ("evaluate", "sample"):
        found += [s for s in before if s.round == stage.round and s.fingerprint]
    return found


def _skipped(stage: Stage) -> bool:
    return stage.status == Status.SUCCEEDED and not stage.fingerprint


def _named(stage: Stage) -> dict[str, str | None]:
    """Contents behind the names in a stage's settings: weights, prompt sets, judges, scales."""
    project, config = stage.run.project, stage.config
    named: dict[str, str | None] = {}
    if policy := config.get("policy"):
        named["policy"] = Policy.objects.get(project=project, name=policy).identity
    prompts = config.get("prompts", {})
    evaluate = config.get("evaluate", {})
    sets = [prompts.get("set"), *prompts.get("held_out", ())]
    sets += [evaluate.get("prompts"), *evaluate.get("sets", {}).values()]
    for name in dict.fromkeys(filter(None, sets)):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT encode(sha256(convert_to(string_agg(p.key, ',' ORDER BY p.key), 'UTF8')),"
                " 'hex') FROM alignment_prompt p JOIN alignment_promptset s"
                " ON s.id = p.prompt_set_id WHERE s.project_id = %s AND s.name = %s"
                " AND p.parent_id IS NULL",
                [project.pk, name],
            )
            named[f"set {name}"] = cursor.fetchone()[0]
    for judge in project.judges.filter(name__in=plan.judges_named(config)):
        rules = f"{judge.engine} {judge.rule} {judge.prompt_rule} {judge.version}"
        named[f"judge {judge.name}"] = f"{rules} {_settings(judge)}"
    rewriter = config.get("rewrite", {}).get("rewriter")
    for row in project.rewriters.filter(name=rewriter):
        named[f"rewriter {row.name}"] = f"{row.version} {_settings(row)}"
    for dimension in project.dimensions.filter(name__in=config.get("dimensions", ())):
        named[f"dimension {dimension.name}"] = repr(dimension.record)
    return named


def _settings(row: Judge | Rewriter) -> str:
    """The settings in one spelling, with what tells its local model from another."""
    model = likeness(Path(row.model_folder)) if row.model_folder else ""
    return f"{json.dumps(row.settings, sort_keys=True)} {model}"
