"""Which stage's rows a stage can use as its own: found before it starts.

Equal fingerprints are equal results. But runs that were at work together may each have rows of
their own, so a stage's rows are used only where it also read the very rows that this run has.
"""

from alignment.fingerprints import inputs_of
from alignment.models import Policy, Run, Stage, Status


def finished(stage: Stage, before: list[Stage], fingerprint: str) -> Stage | None:
    """A finished stage of the project whose rows can be used again.

    In a run that goes on from an earlier one's stage it is that run's own, up to that stage; from
    there on there is none.
    """
    if (origin := stage.run.rerun_from) is not None:
        if stage.position >= origin.position:
            return None
        same = origin.run.stages.select_related("run", "reused_from__run")
        return same.get(position=stage.position).source
    return _newest(stage, before, fingerprint, (Status.SUCCEEDED,))


def at_work(stage: Stage, before: list[Stage], fingerprint: str) -> Run | None:
    """The run that is at work on what this stage would do."""
    if stage.run.rerun_from is not None:
        return None
    found = _newest(stage, before, fingerprint, (Status.QUEUED, Status.RUNNING))
    return found.run if found else None


def _newest(
    stage: Stage, before: list[Stage], fingerprint: str, statuses: tuple[str, ...]
) -> Stage | None:
    same = Stage.objects.filter(run__project=stage.run.project_id, fingerprint=fingerprint)
    same = same.filter(status__in=statuses, reused_from=None).exclude(run=stage.run_id)
    read = _rows_read(stage, before)
    for twin in same.select_related("run").order_by("-pk"):
        earlier = list(twin.run.stages.filter(position__lt=twin.position).order_by("position"))
        if _is_whole(twin) and _rows_read(twin, earlier) == read:
            return twin
    return None


def _rows_read(stage: Stage, before: list[Stage]) -> list[int]:
    """Where the rows are that the stage reads: its inputs' stages by id. An evaluation that
    compares reads the start policy's too."""
    inputs = inputs_of(stage, before)
    if stage.kind == "evaluate" and stage.config["evaluate"].get("compare"):
        inputs += [s for s in before if s.kind == "evaluate"][:1]
    return [s.reused_from_id or s.pk for s in inputs]


def _is_whole(stage: Stage) -> bool:
    """Whether what a stage made beside its rows is still there: a trained policy's weights."""
    policy = Policy.objects.filter(stage=stage).first()
    return policy is None or policy.path.is_dir()
