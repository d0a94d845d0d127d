"""What the page of a run says: shares, times, counts, and why a stage did nothing."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from alignment.models import Chunk, LogLine, Project, Run, Stage, TrainingStep, Worker
from alignment.queries.runs import Round, StageRow, run_state
from alignment.queries.stages import note_on, yields
from mora_web.embedded import reserve
from tests.builders import make_run
from tests.web.conftest import put, stage_of


def now() -> datetime:
    """The time by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        found: datetime = cursor.fetchone()[0]
    return found


def soon(value: float) -> Any:
    """The value, give or take what the test itself takes."""
    return pytest.approx(value, rel=0.02, abs=0.5)


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


def row_of(rounds: list[Round], kind: str, number: int = 1) -> StageRow:
    rows = [row for r in rounds for row in r.rows]
    return next(row for row in rows if (row.stage.kind, row.stage.round) == (kind, number))


def test_a_running_stage_has_its_rate_and_the_time_it_still_needs(run: Run) -> None:
    started = now() - seconds(30)
    put(stage_of(run, "sample"), status="running", started_at=started, done=60, total=80)
    row = row_of(run_state(run.pk).rounds, "sample")
    assert row.share == 0.75
    assert row.elapsed == soon(30)
    assert row.rate == soon(2)
    assert row.remaining == soon(10)


def test_rollouts_that_could_not_be_sampled_are_not_counted_as_made(
    researcher: Client, run: Run
) -> None:
    stage = put(stage_of(run, "sample"), status="running", done=60, total=80, unit="rollouts")
    put(stage, facts={"not_sampled": {"prompt 1: too long": 8, "prompt 2: too long": 4}})
    state = run_state(run.pk)
    assert (state.rollouts, row_of(state.rounds, "sample").made) == (48, 48)
    put(stage, status="succeeded", done=80, facts={"failed": 30, "not_sampled": {"one": 20}})
    page = researcher.get(reverse("run", args=[run.project.slug, run.pk])).content.decode()
    assert "50 / 80" in page and run_state(run.pk).rollouts == 50


def test_an_evaluation_is_done_when_its_judges_are(run: Run) -> None:
    started = now() - seconds(30)
    stage = put(stage_of(run, "evaluate"), status="running", started_at=started, done=8, total=8)
    states = ("done", "done", "done", "open")  # two of rollouts, then two of their scores
    for i, state in enumerate(states):
        Chunk.objects.create(
            stage=stage, part=i // 2, index=i % 2, items=[], size=4 * (i < 2), state=state
        )
    row = row_of(run_state(run.pk).rounds, "evaluate")
    assert (row.share, row.remaining) == (0.75, soon(10))


def test_a_stage_to_come_is_expected_to_take_what_its_kind_took_last(
    project: Project, people: dict[str, User], run: Run
) -> None:
    before = make_run(project, people["owner"], name="before")
    end = now()
    done = {"status": "succeeded", "total": 5, "ended_at": end}
    put(stage_of(before, "train"), started_at=end - seconds(40), **done)
    assert row_of(run_state(run.pk).rounds, "train").remaining == 40
    assert row_of(run_state(run.pk).rounds, "sample").remaining is None


def test_the_share_done_is_of_the_expected_time_once_it_is_known(
    project: Project, people: dict[str, User], run: Run
) -> None:
    before = make_run(project, people["owner"], name="before")
    end = now()
    for stage in before.stages.exclude(kind="review"):
        put(stage, status="succeeded", total=5, started_at=end - seconds(10), ended_at=end)
    first = stage_of(run, "evaluate", 0)
    took = {"started_at": end - seconds(29), "ended_at": end + seconds(1)}
    put(first, status="succeeded", total=1, done=1, **took)
    state = run_state(run.pk)
    # Nine stages but the review's are to come, each expected to take as long as its kind took
    # when it last ended: 10 s, but for the evaluation, of which this run's own is the latest.
    assert state.remaining == soon(8 * 10 + 30)
    assert state.share == pytest.approx(30 / (30 + 110))


def test_the_share_done_counts_stages_until_times_are_known(run: Run) -> None:
    put(stage_of(run, "evaluate", 0), status="succeeded")
    put(stage_of(run, "sample"), status="running", done=1, total=2)
    state = run_state(run.pk)
    assert state.remaining is None
    assert state.share == pytest.approx(1.5 / 11)


def test_nothing_about_time_is_claimed_of_a_reused_stage(
    project: Project, people: dict[str, User], run: Run
) -> None:
    twin = stage_of(make_run(project, people["owner"], name="twin"), "score")
    reused = {"reused_from": twin, "reason": "reused from run twin", "done": 9, "total": 9}
    put(stage_of(run, "score"), status="succeeded", **reused)
    row = row_of(run_state(run.pk).rounds, "score")
    assert (row.share, row.elapsed, row.rate) == (1, None, None)
    assert row.note == "reused from run twin"


def test_training_of_a_reused_stage_is_shown(
    project: Project, people: dict[str, User], run: Run
) -> None:
    twin = stage_of(make_run(project, people["owner"], name="twin"), "train")
    for step, value in ((1, 0.69), (2, 0.5)):
        metrics = {"loss": value, "margin": 0.1, "accuracy": 0.5}
        TrainingStep.objects.create(stage=twin, step=step, metrics=metrics)
    put(stage_of(run, "train"), status="succeeded", reused_from=twin, facts={"loss_step1": 0.69})
    state = run_state(run.pk)
    assert [s.loss for s in state.trainings[0].steps] == [0.69, 0.5]
    assert state.loss_step1 == 0.69


def test_counts_add_up_over_the_rounds(run: Run) -> None:
    put(stage_of(run, "sample"), unit="rollouts", done=48, total=48)
    put(stage_of(run, "resample"), unit="rollouts", done=16, total=32)
    assert run_state(run.pk).rollouts == 64
    assert run_state(run.pk).pairs is None
    put(stage_of(run, "pair"), facts={"pairs": 12})
    assert run_state(run.pk).pairs == 12


def test_the_heartbeat_is_of_workers_that_help_with_the_active_stage(run: Run) -> None:
    put(stage_of(run, "train"), status="running", started_at=now(), queue="gpu")
    beat = now() - seconds(4)
    Worker.objects.create(name="cpu", queue="cpu", slots=2, heartbeat_at=now())
    assert run_state(run.pk).heartbeat_age is None
    Worker.objects.create(name="gpu", queue="gpu", slots=1, heartbeat_at=beat)
    assert run_state(run.pk).heartbeat_age == soon(4)


def test_the_log_is_its_last_lines_in_order(run: Run) -> None:
    stage = stage_of(run, "train")
    LogLine.objects.bulk_create(LogLine(stage=stage, text=f"line {i}") for i in range(250))
    log = run_state(run.pk).log
    assert [line.text for line in log] == [f"line {i}" for i in range(50, 250)]


def test_the_page_takes_as_many_queries_for_a_long_run_as_for_a_short_one(
    project: Project, people: dict[str, User], run: Run, django_assert_max_num_queries: object
) -> None:
    rounds = [{"prompts": "mixed", "focus": "helpful"}] * 12
    long = make_run(project, people["owner"], name="long", rounds=rounds)
    counts = []
    for one in (run, long):
        with django_assert_max_num_queries(12) as captured:  # type: ignore[operator]
            run_state(one.pk)
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("kind", "facts", "note"),
    [
        ("sample", {"rollouts": 9, "stopped_by_length": 2, "held_out": 1},
         "2 stopped by length, 1 held out for evaluation"),
        ("resample", {"rollouts": 8, "engine": "m at here", "failed": 3,
                      "not_sampled": {"prompt 4: it has 6012 tokens; shorten it": 2, "other": 1},
                      "usage": {"requests": 1200, "retries": 9, "prompt_tokens": 900,
                                "completion_tokens": 100}},
         "by m at here, 3 not sampled (prompt 4: it has 6012 tokens; shorten it),"
         " 1,200 requests, 9 of them again, 1,000 tokens"),
        ("score", {"left_out": {"guard": 0.125, "rubric": 0.0}}, "12% without a score by guard"),
        ("mine", {"verdicts": {"open": 3, "single_reward": 2}, "mined": 2},
         "2 mined (2 single reward), 3 open"),
        ("mine", {"verdicts": {"undecided": 1, "open": 1200, "single_reward": 2, "conflict": 1},
                  "mined": 3}, "3 mined (1 conflict, 2 single reward), 1,200 open, 1 undecided"),
        ("mine", {"verdicts": {"open": 3}, "mined": 0}, "0 mined, 3 open"),
        ("rewrite", {"accepted": 2, "attempts": 5, "refused_by": {"no_leak": 1, "parsed": 2}},
         "2 accepted of 5 written; refused by parsed 2, no leak 1"),
        ("train", {"gates": [1], "gates_failed": [], "dropped_by_truncation": 0},
         "every gate passed"),
        ("train", {"gates": [1], "gates_failed": ["loss at step 1"]},
         "gates failed: loss at step 1"),
    ],
)  # fmt: skip
def test_a_stage_says_what_it_found(kind: str, facts: dict[str, object], note: str) -> None:
    assert note_on(Stage(kind=kind, facts=facts)) == note


def test_a_stage_that_found_nothing_says_only_why() -> None:
    facts = {"verdicts": {"open": 3}, "mined": 0}
    stage = Stage(kind="mine", facts=facts, empty=True, reason="nothing mined from 3 prompts")
    assert note_on(stage) == "nothing mined from 3 prompts"


def test_yields_are_in_the_order_of_the_filters_whatever_the_database_keeps() -> None:
    one = Stage(kind="pair", facts={"yield": {"taken": 2, "pairs": 9, "rollouts": 16, "margin": 4}})
    two = Stage(kind="pair", facts={"yield": {"taken": 1, "rollouts": 8, "pairs": 3, "focus": 2}})
    assert yields([one, two]) == [
        ("rollouts", [16, 8]),
        ("pairs of them", [9, 3]),
        ("margin large enough", [4, None]),
        ("focus improves", [None, 2]),
        ("taken", [2, 1]),
    ]


def page_of(client: Client, run: Run) -> str:
    response = client.get(reverse("run", args=[run.project.slug, run.pk]))
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        ("pending", {"start-run", "cancel-run"}),
        ("running", {"cancel-run"}),
        ("waiting", {"cancel-run"}),
        ("failed", {"retry-run"}),
        ("cancelled", {"retry-run"}),
        ("succeeded", set()),
    ],
)
def test_the_page_offers_what_can_be_done(
    researcher: Client, run: Run, status: str, offered: set[str]
) -> None:
    Run.objects.filter(pk=run.pk).update(status=status)
    if status == "waiting":
        put(stage_of(run, "review"), status="waiting")
    text = page_of(researcher, run)
    args = [run.project.slug, run.pk]
    for name in ("start-run", "cancel-run", "retry-run"):
        assert (reverse(name, args=args) in text) == (name in offered), name


def test_a_viewer_is_offered_nothing(sign_in: object, run: Run) -> None:
    text = page_of(sign_in("viewer"), run)  # type: ignore[operator]
    assert "formaction" not in text
    assert "Clone" not in text


def test_a_failed_run_shows_its_cause_and_traceback(researcher: Client, run: Run) -> None:
    failed = {"status": "failed", "reason": "no space left", "traceback": "Traceback: here"}
    put(stage_of(run, "sample"), **failed)
    Run.objects.filter(pk=run.pk).update(status="failed")
    text = page_of(researcher, run)
    assert "sample failed in round 1." in text
    assert "no space left" in text
    assert "Traceback: here" in text


def test_starting_cancelling_and_retrying_from_the_page(researcher: Client, run: Run) -> None:
    args = [run.project.slug, run.pk]
    for name, status in (("start-run", "queued"), ("cancel-run", "cancelled")):
        assert researcher.post(reverse(name, args=args)).status_code == 302
        run.refresh_from_db()
        assert run.status == status
    assert researcher.post(reverse("retry-run", args=args)).status_code == 302
    assert run.stages.get(position=0).status == "queued"
    page = researcher.post(reverse("retry-run", args=args), follow=True).content.decode()
    assert "only a failed or cancelled run can be retried" in page


def test_the_log_and_the_training_are_given_as_files(researcher: Client, run: Run) -> None:
    stage = stage_of(run, "train")
    LogLine.objects.create(stage=stage, text="step 1 of 2")
    TrainingStep.objects.create(stage=stage, step=1, metrics={"loss": 0.5, "margin": 0.25})
    args = [run.project.slug, run.pk]
    log = researcher.get(reverse("run-log", args=args)).content.decode()
    assert log.endswith(" round 1 train: step 1 of 2\n")
    csv = researcher.get(reverse("training-csv", args=args)).content.decode()
    assert csv.splitlines() == ["round,step,loss,margin,accuracy", "1,1,0.5,0.25,"]


def test_runs_are_searched_and_paged(
    researcher: Client, project: Project, people: dict[str, User]
) -> None:
    Run.objects.bulk_create(Run(project=project, name=f"run {i:03}", config={}) for i in range(60))
    address = reverse("runs", args=[project.slug])
    assert len(researcher.get(address).context["page"].object_list) == 50
    assert len(researcher.get(address, {"page": "2"}).context["page"].object_list) == 10
    found = researcher.get(address, {"q": "RUN 01"}).context["page"].object_list
    assert len(found) == 10
    assert "No run is called like" in researcher.get(address, {"q": "\x00%"}).content.decode()


def test_a_run_of_an_older_configuration_still_has_its_page(researcher: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(config={**run.config, "since_removed": 1})
    page_of(researcher, run)


def test_a_full_disk_is_told_though_nothing_can_be_written(
    run: Run, researcher: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RESERVE = settings.ARTIFACTS
    page = reverse("run", args=[run.project.slug, run.pk])
    told = "The disk of the database is full."
    assert told not in researcher.get(page).content.decode()
    monkeypatch.setattr(reserve, "LEAST", 2**62)  # more than any disk has free
    assert told in researcher.get(page).content.decode()
    (sentence,) = researcher.get(f"/api/v1/runs/{run.pk}").json()["hold_ups"]
    assert sentence.startswith(told)


def test_a_run_whose_workers_are_gone_says_so(run: Run, researcher: Client) -> None:
    put(stage_of(run, "train"), status="running", queued_at=now() - seconds(60), queue="gpu")
    worker = Worker.objects.create(name="gpu", queue="gpu", slots=1, heartbeat_at=now())
    page, told = reverse("run", args=[run.project.slug, run.pk]), "No worker of the queue gpu"
    assert told not in researcher.get(page).content.decode()
    assert researcher.get(f"/api/v1/runs/{run.pk}").json()["hold_ups"] == []
    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=now() - seconds(20))
    assert told in researcher.get(page).content.decode()
    (sentence,) = researcher.get(f"/api/v1/runs/{run.pk}").json()["hold_ups"]
    assert sentence.startswith(told)


def test_the_loss_at_step_1_is_shown_once_it_is_known(researcher: Client, run: Run) -> None:
    def page() -> str:
        return researcher.get(reverse("run", args=[run.project.slug, run.pk])).content.decode()

    put(stage_of(run, "train"), status="running")
    assert "loss at step 1" not in page()
    put(stage_of(run, "train"), facts={"loss_step1": 0.69})
    assert "loss at step 1" in page()
