"""A run that reuses another's rollouts but scores them otherwise keeps the scores there are."""

from django.contrib.auth.models import User

from alignment.models import Judge, Project, Run, Score
from alignment.queries.replay import _tally as tallies
from alignment.queries.replay import tally_of
from alignment.services import runs
from tests.builders import make_run
from tests.conftest import Workers, wait_for_run

NOTHING = {"rule": "flat", "spread_above": 1}


def test_reused_rollouts_may_be_judged_by_other_judges_and_later_versions(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    def go(name: str, **changes: object) -> tuple[str, str]:
        run = make_run(sandbox, owner, name=name, mine=NOTHING, **changes)  # type: ignore[arg-type]
        runs.start_run(run=run, by=owner)
        wait_for_run(run)
        sampled, scored = run.stages.get(kind="sample"), run.stages.get(kind="score")
        assert run.status == "succeeded", scored.reason
        return sampled.reason, scored.reason

    go("first")
    scores = Score.objects.filter(rollout__sampling__stage__kind="sample")
    assert scores.count() == 20 * 8 * 3
    judges = {d: f"sandbox-{d}" for d in ("helpful", "harmless", "truthful")}
    other = {**judges, "helpful": "sandbox-helpful-eval"}
    assert go("other judge", judges=other) == ("reused from run first", "")
    assert scores.count() == 20 * 8 * 4
    Judge.objects.filter(name="sandbox-helpful").update(version=2)
    assert go("later version") == ("reused from run first", "")
    assert scores.count() == 20 * 8 * 5

    def passed(name: str) -> int:
        mine = Run.objects.get(name=name).stages.get(kind="mine")
        return int(tally_of(mine).c_k[:, 0].sum())

    before = passed("first")
    scores.filter(judge__name="sandbox-helpful", judge_version=2).update(raw=1)
    tallies.cache_clear()
    assert passed("first") == before > 0 == passed("later version")
