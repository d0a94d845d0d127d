"""Arms started at once share what is the same in them, and what each reads fits together."""

from django.contrib.auth.models import User

from alignment.models import Project, Rollout, Score
from alignment.services import runs
from tests.builders import make_run
from tests.conftest import Workers, wait_for_run


def test_arms_started_at_once_are_judged_on_the_rollouts_that_they_have(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    arms = [
        make_run(sandbox, owner, name="fuse"),
        make_run(sandbox, owner, name="joint", mine={"joint_at_most": 0.2}),
        make_run(sandbox, owner, name="half", train={"pairs_share": 0.5}),
    ]
    for run in arms:
        runs.start_run(run=run, by=owner)
    for run in arms:
        wait_for_run(run)
        assert run.status == "succeeded"
        for sampled, scored in (("sample", "score"), ("resample", "rescore")):
            own, by = (run.stages.get(kind=kind, round=1).source for kind in (sampled, scored))
            assert by.run.stages.get(kind=sampled, round=1).source == own
            assert Score.objects.filter(rollout__sampling__stage=own).exists()
    assert Rollout.objects.filter(sampling__stage__kind="sample").count() == 20 * 8, "sampled once"
