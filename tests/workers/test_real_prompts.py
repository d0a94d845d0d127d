"""MORA over real prompts: the sandbox policy answers them poorly, and the run says so."""

import os
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from alignment.models import Project, Rollout
from alignment.services import runs
from tests.builders import make_run
from tests.conftest import Workers, wait_for_run

DATA = os.environ.get("MORA_DATA")


@pytest.mark.skipif(not DATA, reason="MORA_DATA names no folder with real data")
def test_a_run_over_forty_xstest_prompts_succeeds(
    sandbox: Project, owner: User, workers: Workers
) -> None:
    assert DATA is not None
    file = str(Path(DATA) / "xstest_prompts.csv")
    call_command("import_prompts", file, project=sandbox.slug, set="xstest")
    rounds = [{"prompts": "xstest", "focus": "harmless", "limit": 40}]
    run = make_run(sandbox, owner, rounds=rounds)
    runs.start_run(run=run, by=owner)
    wait_for_run(run)
    stages = {s.kind: s for s in run.stages.filter(round=1)}
    assert run.status == "succeeded", [(s.kind, s.status, s.reason) for s in stages.values()]
    assert Rollout.objects.filter(sampling__stage=stages["sample"]).count() == 40 * 8
    assert sum(stages["mine"].facts["verdicts"].values()) == 40
    nothing = [s.reason for s in stages.values() if s.empty]
    if nothing:
        assert stages["train"].reason == f"skipped: {nothing[0]}"
    else:
        assert stages["train"].facts["gates_failed"] == []
