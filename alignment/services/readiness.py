"""Whether what a configuration names can work, looked at before anything is spent: each function
gives a sentence that says what is missing and what to do, or an empty one."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError

from alignment.method.config import RunConfig
from alignment.method.errors import MoraError
from alignment.method.mc2 import answers_of
from alignment.model_folders import (
    allowed,
    check_classifier,
    check_heads,
    check_model,
    check_score_head,
    check_template,
    check_writer,
    context_of,
    weight_shapes,
)
from alignment.models import Judge, Policy, Project, Rewriter
from alignment.queries.held_out import held_out_in
from alignment.queries.prompts import seeds_of

SANDBOX_REWRITER = "sandbox"
COMPARISON = "comparison"  # a use of a judge, in evaluation, beside those that it is kept for


def policy_problem(policy: Policy) -> str:
    """Why a policy cannot be sampled."""
    if not policy.answers:
        return f"{policy.name!r} has imported completions only, no model to sample"
    if policy.endpoint:
        return _endpoint_problem(policy.endpoint)
    if not policy.path.is_dir():
        return f"the model folder of {policy.name!r} is gone"
    return _folder_problem(policy.path, check_model, check_writer, check_template)


def judge_problem(judge: Judge, use: str) -> str:
    """Why a judge cannot judge for a use: pairing, evaluation or comparison."""
    if judge.engine == Judge.Engine.IMPORTED:
        return f"judge {judge.name!r} holds imported scores, it cannot judge"
    if judge.engine == Judge.Engine.MC2 and use == Judge.Use.PAIRING:
        return f"judge {judge.name!r} judges policies, not completions: use it for evaluation only"
    if use == COMPARISON and judge.engine != Judge.Engine.RUBRIC:
        return f"judge {judge.name!r} sees one completion at a time; a rubric judge compares two"
    if problem := _settings_problem(judge):
        return f"judge {judge.name!r}: {problem}"
    if judge.engine != Judge.Engine.REWARD:
        return ""
    if judge.is_unscaled:
        return (
            f"judge {judge.name!r} has no scale yet: try it on a reference set of completions and"
            " fit its scale to the trial, or set own_units where its values are raw scores as they"
            " are"
        )
    if judge.typed.remote_code and not settings.REMOTE_CODE:
        return (
            f"judge {judge.name!r} asks to run its model's own code, which the operator has not"
            " allowed (MORA_REMOTE_CODE)"
        )
    return ""


def mc2_problems(project: Project, config: RunConfig) -> dict[str, str]:
    """By dimension why an MC2 judge cannot judge the policy on its evaluation set."""
    found = {}
    policy = project.policies.get(name=config.policy)
    named = project.judges.filter(engine=Judge.Engine.MC2).select_related("dimension")
    for judge in named.filter(name__in=config.evaluate.judges.values()):
        dimension = judge.dimension.name
        asked = config.evaluate.sets.get(dimension, config.evaluate.prompts)
        if policy.endpoint:
            found[dimension] = (
                f"judge {judge.name!r} reads the policy's own probabilities, which an endpoint does"
                " not give: use a policy with a model folder, or another judge"
            )
        elif not any(answers_of(p.meta) for p in seeds_of(project.pk, [asked])):
            found[dimension] = (
                f"judge {judge.name!r} needs prompts with true and false answers, and {asked!r} has"
                " none: import TruthfulQA with its answer columns, and name that set for"
                f" {dimension} (evaluate.sets)"
            )
    return found


def mined_problem(project: Project, name: str, held_out: Collection[str]) -> str:
    """Why nothing could be mined in a prompt set beside the sets that are held out."""
    if name in held_out:
        return f"{name!r} is held out for evaluation, so nothing is left to mine in it"
    kept_out = held_out_in(project.pk, held_out)
    texts = seeds_of(project.pk, [name]).values_list("text", flat=True)
    if all(kept_out.has(text) for text in texts.iterator(chunk_size=100)):
        return (
            f"every prompt of {name!r} is also held out for evaluation, or all but in its words, so"
            " nothing is left to mine in it: name another set, here or for evaluation"
        )
    return ""


def rewriter_problem(project: Project, config: RunConfig) -> str:
    """Why the rewriter that a configuration names cannot rewrite."""
    name = config.rewrite.rewriter
    if name == SANDBOX_REWRITER or config.rewrite.strategy == "none":
        return ""
    rewriter = project.rewriters.filter(name=name).first()
    if rewriter is None:
        known = [SANDBOX_REWRITER, *project.rewriters.values_list("name", flat=True)]
        return f"no rewriter {name!r} in this project; there is {', '.join(known)}"
    return _settings_problem(rewriter)


def launch_problem(config: RunConfig) -> str:
    """Why training cannot be launched as a configuration asks."""
    name = config.train.launch
    if name is None or name in settings.ACCELERATE:
        return ""
    return f"there is no accelerate config {name!r} in MORA_ACCELERATE; the operator adds it"


def lora_problem(policy: Policy, config: RunConfig) -> str:
    """Why LoRA cannot train a policy that can be sampled: its weights have none of the modules
    named."""
    if config.train.method != "lora" or not policy.folder:
        return ""
    if any(target.split(".")[-1] == "lm_head" for target in config.train.targets):
        return "LoRA cannot train lm_head, whose weights TRL reads past an adapter: leave it out"
    shapes = weight_shapes(policy.path)
    modules = {name.rpartition(".")[0]: len(shape) for name, shape in shapes.items()}
    if any(
        f".{name}".endswith(f".{target}") for name in modules for target in config.train.targets
    ):
        return ""
    # Matrices of numbered layers are what adapters are made for.
    layers = (n.split(".") for n, axes in modules.items() if axes == 2)
    has = sorted({parts[-1] for parts in layers if any(map(str.isdecimal, parts[:-1]))})
    return (
        f"{policy.name!r} has none of the modules {', '.join(config.train.targets)} that LoRA would"
        f" train: name those of its architecture ({', '.join(has[:8]) or 'none found'}), or set the"
        " method to full"
    )


def room_problem(policy: Policy, config: RunConfig) -> str:
    """Why no prompt whatever of a policy that can be sampled could be: what it is to write fills
    its context."""
    asked = config.sample
    if not policy.folder:
        return ""
    shorter = asked.max_length if asked.engine == "vllm" else None
    room = shorter or context_of(policy.path)
    if room is None or asked.max_new_tokens < room:
        return ""
    return (
        f"leaves no room for a prompt in the {room:,} tokens that {policy.name!r} takes: ask for"
        " fewer"
    )


def _settings_problem(row: Judge | Rewriter) -> str:
    try:
        row.clean()
    except ValidationError as error:
        return "; ".join(error.messages)
    return model_problem(row)


def model_problem(row: Judge | Rewriter) -> str:
    """Why a judge's or rewriter's local model may not be loaded."""
    if not row.model_folder:
        return ""
    return _folder_problem(Path(row.model_folder), check_model, *_checks_of_head(row))


def _checks_of_head(row: Judge | Rewriter) -> list[Callable[[Path], None]]:
    """What else the folder of a reward model needs; its own code may read any."""
    if not isinstance(row, Judge) or row.engine != Judge.Engine.REWARD:
        return []
    if row.settings.get("output") == "end_scores":
        return [check_score_head]
    if row.settings.get("remote_code"):
        return []
    return [check_classifier, partial(check_heads, heads=row.settings.get("heads", (0,)))]


def _folder_problem(folder: Path, *checks: Callable[[Path], None]) -> str:
    try:
        for check in checks:
            check(allowed(folder, settings.MODEL_ROOTS))
    except MoraError as error:
        return str(error)
    return ""


def _endpoint_problem(name: str) -> str:
    if name in settings.ENDPOINTS:
        return ""
    return f"there is no endpoint {name!r} in MORA_ENDPOINTS; the operator adds it"
