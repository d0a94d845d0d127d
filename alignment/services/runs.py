"""Create, start, cancel and retry runs. What names in a configuration mean is checked here."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from pydantic import ValidationError

from alignment import lifecycle
from alignment.fingerprints import outdated_stage
from alignment.method import plan
from alignment.method.ceiling import default_min_valid
from alignment.method.config import MiningConfig, RunConfig
from alignment.method.errors import MoraError
from alignment.method.selection import implied_gap
from alignment.models import ENDED, Judge, Project, Role, Run, Stage, Status
from alignment.models.judges import harm_judge
from alignment.permissions import require
from alignment.queries.prompts import seeds_of
from alignment.queries.trials import measured_noise
from alignment.services.judges import edited, notice_code
from alignment.services.readiness import (
    COMPARISON,
    judge_problem,
    launch_problem,
    lora_problem,
    mc2_problems,
    mined_problem,
    policy_problem,
    rewriter_problem,
    room_problem,
)


class BadConfig(MoraError):
    """A configuration that cannot run. `errors` maps a field's path to its sentence."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{path}: {text}" for path, text in errors.items()))


def parse_config(data: dict[str, Any]) -> RunConfig:
    """A RunConfig from untrusted data; raises BadConfig."""
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise BadConfig(
            {".".join(map(str, e["loc"])) or "config": e["msg"] for e in error.errors()}
        ) from error


def create_run(*, project: Project, name: str, config: RunConfig, by: User) -> Run:
    """A pending run with all its stages. Raises BadConfig, Denied, or MoraError for its name.

    Its configuration has the judges' measured repeat noise where the flat rule asks for it.
    """
    require(by, project, Role.RESEARCHER)
    check_config(project, config)
    notice_code(project, plan.judges_named(config.model_dump(mode="json")))
    config = with_measured_noise(project, config)
    try:
        with transaction.atomic():
            run = Run.objects.create(
                project=project, name=name, config=config.model_dump(mode="json"), created_by=by
            )
            Stage.objects.bulk_create(
                Stage(run=run, position=s.position, round=s.round, kind=s.kind, config=s.config)
                for s in plan.expand(config)
            )
            lifecycle.emit(run.pk, "run", {"status": Status.PENDING})
    except IntegrityError as error:
        raise MoraError(f"the project has a run named {name!r} already; choose another") from error
    return run


def create_sweep(
    *, project: Project, name: str, config: RunConfig, shares: Sequence[float], by: User
) -> list[Run]:
    """Pending runs that differ in the share of the pairs they train on, the largest share first.

    They share the stages before training, whenever they are started. Shares are nested. Raises
    MoraError for a share that is none, or repeated; and what `create_run` raises, and then creates
    nothing.
    """
    if not shares or len(set(shares)) != len(shares) or not all(0 < s <= 1 for s in shares):
        raise MoraError("shares of the pairs are different numbers above 0 and up to 1")
    with transaction.atomic():
        return [
            create_run(project=project, name=f"{name} {100 * share:.4g}%", config=own, by=by)
            for share in sorted(shares, reverse=True)
            for own in [with_share(config, share)]
        ]


def with_share(config: RunConfig, share: float) -> RunConfig:
    """The configuration with another share of the pairs."""
    train = config.train.model_copy(update={"pairs_share": share})
    return config.model_copy(update={"train": train})


def with_measured_noise(project: Project, config: RunConfig) -> RunConfig:
    """The configuration with the repeat noise of the judges that were tried twice, as the flat
    rule's thresholds of their dimensions; where thresholds were set, those stay."""
    mine = config.mine
    if mine.rule != "flat" or mine.spread_above != MiningConfig().spread_above:
        return config
    judges = {judge.name: judge for judge in project.judges.select_related("dimension")}
    measured = {
        dimension: noise
        for dimension, name in config.judges.items()
        if dimension not in mine.noise and (noise := measured_noise(judges[name])) is not None
    }
    filled = mine.model_copy(update={"noise": {**mine.noise, **measured}})
    return config.model_copy(update={"mine": filled})


def start_run(*, run: Run, by: User) -> None:
    """Start a pending run; on one already started it does nothing."""
    require(by, run.project, Role.RESEARCHER)
    notice_code(run.project, plan.judges_named(run.config))
    lifecycle.advance(run)


def cancel_run(*, run: Run, by: User) -> None:
    """Cancel a run; on one that has ended it does nothing. What was finished stays."""
    require(by, run.project, Role.RESEARCHER)
    run.refresh_from_db(fields=("status",))
    if run.status not in ENDED:
        lifecycle.cancel(run)


def retry_run(*, run: Run, by: User) -> None:
    """Take a failed or cancelled run up where it stopped."""
    require(by, run.project, Role.RESEARCHER)
    run.refresh_from_db()
    if run.status not in (Status.FAILED, Status.CANCELLED):
        raise MoraError(f"only a failed or cancelled run can be retried; this one {_is(run)}")
    begun = [plan.judges_named(stage.config) for stage in run.stages.exclude(fingerprint="")]
    if judges := edited(run.project, set().union(*begun)):
        raise MoraError(
            f"the code of judge {judges[0]} is not as it was, and results of both are not mixed:"
            " put it back, or clone the run, which uses again what does not depend on it"
        )
    if outdated := outdated_stage(run):
        raise MoraError(
            f"a judge, rewriter, dimension, policy or prompt set of {outdated.kind} in round"
            f" {outdated.round} is not as it was, and results of both are not mixed: clone the run,"
            " which uses again what does not depend on it"
        )
    notice_code(run.project, plan.judges_named(run.config))
    lifecycle.retry(run)


def _is(run: Run) -> str:
    return "has succeeded" if run.status in ENDED else f"is {run.status}"


def check_config(project: Project, config: RunConfig) -> None:
    """Raises BadConfig where the configuration names what the project does not hold."""
    errors = {**_check_policy(project, config), **_check_dimensions(project, config)}
    errors |= _check_judges(project, "judges", config.judges, Judge.Use.PAIRING)
    named = config.evaluate.judges
    errors |= _check_judges(project, "evaluate.judges", named, Judge.Use.EVALUATION)
    errors |= _check_judges(project, "evaluate.compare", config.evaluate.compare, COMPARISON)
    if "policy" not in errors:
        found = mc2_problems(project, config)
        errors = {**{f"evaluate.judges.{d}": told for d, told in found.items()}, **errors}
    for path, problem in (
        ("rewrite.rewriter", rewriter_problem(project, config)),
        ("train.launch", launch_problem(config)),
    ):
        if problem:
            errors[path] = problem
    errors |= _check_prompts(project, config)
    if (config.resample_n or config.sample.n) < 2:
        errors["resample_n"] = "a pair is made of two rollouts of a rewrite: ask for two or more"
    needed = config.mine.min_valid or default_min_valid(config.sample.n)
    if needed > config.sample.n:
        errors["mine.min_valid"] = (
            f"a verdict needs {needed} valid rollouts of a prompt, but N is {config.sample.n}, so"
            " nothing could be mined: raise N or lower this"
        )
    if config.pair.rule == "rs_dpo" and (gap := implied_gap(config.pair.tau, config.pair.eta)) > 1:
        errors["pair.tau"] = (
            f"tau and eta ask for a gap of {gap:.3g}, but weighted rewards differ by 1 at most:"
            " lower either"
        )
    if len(config.dimensions) < 2:
        errors["dimensions"] = "mining needs two dimensions or more"
    if errors:
        raise BadConfig(errors)


def _check_policy(project: Project, config: RunConfig) -> dict[str, str]:
    policy = project.policies.filter(name=config.policy).first()
    if policy is None:
        return {"policy": f"no policy {config.policy!r} in this project"}
    if problem := policy_problem(policy):
        return {"policy": problem}
    problems = {
        "train.lora_targets": lora_problem(policy, config),
        "sample.max_new_tokens": room_problem(policy, config),
    }
    return {path: problem for path, problem in problems.items() if problem}


def _check_dimensions(project: Project, config: RunConfig) -> dict[str, str]:
    known = set(project.dimensions.values_list("name", flat=True))
    unknown = [name for name in config.dimensions if name not in known]
    return {"dimensions": f"not in this project: {', '.join(unknown)}"} if unknown else {}


def _check_prompts(project: Project, config: RunConfig) -> dict[str, str]:
    held_out = config.evaluate.every_set
    mined = {f"rounds.{i}.prompts": r.prompts for i, r in enumerate(config.rounds)}
    own = {f"evaluate.sets.{dim}": name for dim, name in config.evaluate.sets.items()}
    errors = {}
    for path, name in {**mined, **own, "evaluate.prompts": config.evaluate.prompts}.items():
        if not seeds_of(project.pk, [name]).exists():
            errors[path] = f"no prompt set {name!r} with prompts in it; import one"
        elif path in mined and (problem := mined_problem(project, name, held_out)):
            errors[path] = problem
    return errors


def _check_judges(project: Project, path: str, names: dict[str, str], use: str) -> dict[str, str]:
    errors = {}
    for dimension, name in names.items():
        judge = project.judges.filter(name=name).select_related("dimension").first()
        if judge is None:
            errors[f"{path}.{dimension}"] = f"no judge {name!r} in this project"
        elif judge.dimension.name != dimension:
            errors[f"{path}.{dimension}"] = f"judge {name!r} scores {judge.dimension.name}"
        elif problem := judge_problem(judge, use):
            errors[f"{path}.{dimension}"] = problem
    return errors


def warnings(project: Project, config: RunConfig) -> list[str]:
    """What a researcher should know before starting: evaluation judges that also pair, by name or
    as the same rule or model under another name."""
    judges = {judge.name: judge for judge in project.judges.select_related("dimension")}
    mining = {d: judges[name] for d, name in config.judges.items() if name in judges}
    found = [
        f"{dimension}: judge {judge.name!r} is kept for evaluation, but mines and pairs"
        for dimension, judge in mining.items()
        if judge.use == Judge.Use.EVALUATION
    ]
    written = config.rewrite.strategy != "none"
    if written and harm_judge(mining.values()) is None:
        found.append(
            "no judge of the run can tell the harm of a prompt, so rewrites are not checked for"
            " added harm: give the harmless judge a prompt_template"
        )
    if config.sample.temperature == 0:
        found.append(
            "at temperature 0 all rollouts of a prompt are alike, and no pair can come from them:"
            " raise the temperature"
        )
    if config.pair.rule == "rs_dpo" and config.pair.consistent:
        found.append(
            "RS-DPO takes every pair over its gap; with `consistent` on, those that fall on a"
            " dimension are left out: turn it off for the rule as published"
        )
    if any(r.focus is None for r in config.rounds) and not config.pair.consistent:
        found.append(
            "a round that aligns all at once takes pairs that fall on no dimension; with"
            " `consistent` off it takes others too: turn it on for simultaneous alignment"
        )
    family = {name: _family(judge) for name, judge in judges.items()}
    pairing = {family.get(name): name for name in config.judges.values()}
    asked = [*config.evaluate.judges.items(), *config.evaluate.compare.items()]
    for dimension, name in dict.fromkeys(asked):
        ends = "so its own errors count as gains"
        twin = pairing.get(family.get(name)) if family.get(name) else None
        if name in config.judges.values():
            found.append(f"{dimension}: judge {name!r} both pairs and evaluates, {ends}")
        elif twin:
            found.append(f"{dimension}: {name!r} evaluates with what {twin!r} pairs with, {ends}")
    return found


def _family(judge: Judge) -> str:
    """What a judge judges with: its rule or its model, whatever its name; empty for neither."""
    model = judge.settings.get("model", "")
    named = model.get("model", "") if isinstance(model, dict) else model
    return judge.rule or str(named or judge.settings.get("pattern", ""))
