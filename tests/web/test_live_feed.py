"""The live feed with real notifications, sockets and database connections."""

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection

from alignment import consumers, lifecycle
from alignment.models import Membership, Project, Run, Stage, Status
from tests.builders import make_run
from tests.web.conftest import add_evaluation, stage_of
from tests.web.live_sockets import in_a_loop, refused, socket

LISTENER = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE application_name = 'mora live feed' AND datname = current_database()"
)


@pytest.fixture
def run(transactional_db: None, project: Project, people: dict[str, User]) -> Run:
    return make_run(project, people["researcher"])


@sync_to_async
def mark(run: Run, done: int) -> None:
    """Progress of the run's first stage, as a worker writes it."""
    stage = stage_of(run, "evaluate", 0)
    Stage.objects.filter(pk=stage.pk).update(done=done, total=900, unit="rollouts")
    lifecycle.emit(run.pk, "progress", {"stage": stage.pk, "done": done, "total": 900})


@sync_to_async
def begin(run: Run) -> None:
    lifecycle.advance(run)
    lifecycle.move(stage_of(run, "evaluate", 0), Status.RUNNING)


def test_the_state_comes_at_once_and_again_when_it_moves(run: Run, people: dict[str, User]) -> None:
    async def body() -> None:
        async with socket(f"/ws/runs/{run.pk}/", people["viewer"]) as opened:
            first = await opened.frame('id="run"', seconds=5)
            assert 'hx-swap-oob="morph"' in first
            assert '<span class="pill pending"' in first
            await begin(run)
            running = await opened.frame('<span class="pill running" id="run-status"', seconds=4)
            assert "Runs<small>1 live</small>" in running, "the side bar comes with a new status"
            asked = time.monotonic()
            await mark(run, 123)
            await opened.frame("123 / 900", seconds=4)
            assert time.monotonic() - asked < 3, "it came by the notification, not by the poll"

    in_a_loop(body)


def test_two_sockets_see_the_same_run_move(run: Run, people: dict[str, User]) -> None:
    async def body() -> None:
        path = f"/ws/runs/{run.pk}/"
        async with socket(path, people["viewer"]) as one, socket(path, people["owner"]) as two:
            await begin(run)
            await mark(run, 7)
            for opened in (one, two):
                await opened.frame("7 / 900")
            assert "formaction" not in await one.frame("", seconds=8)
            assert "formaction" in await two.frame("", seconds=8)

    in_a_loop(body)


def test_many_moves_make_few_frames_and_the_last_state_is_in_the_last(
    run: Run, people: dict[str, User]
) -> None:
    async def body() -> None:
        async with socket(f"/ws/runs/{run.pk}/", people["viewer"]) as opened:
            await opened.frame('id="run"')
            await begin(run)
            started, frames = time.monotonic(), 0
            for done in range(1, 61):
                await mark(run, done)
            while True:
                frames += 1
                if "60 / 900" in await opened.frame("", seconds=6):
                    break
            seconds = time.monotonic() - started
            assert frames <= seconds / consumers.FRAME_SECONDS + 1, (frames, seconds)

    in_a_loop(body)


def test_a_lost_notification_heals_by_itself(run: Run, people: dict[str, User]) -> None:
    @sync_to_async
    def move_silently() -> None:
        Stage.objects.filter(pk=stage_of(run, "evaluate", 0).pk).update(done=5, total=9)

    async def body() -> None:
        async with socket(f"/ws/runs/{run.pk}/", people["viewer"]) as opened:
            await opened.frame('id="run"')
            await begin(run)
            await opened.frame("pill running")
            await move_silently()
            await opened.frame("5 / 9", seconds=consumers.REREAD_SECONDS + 3)

    in_a_loop(body)


def test_the_feed_takes_itself_up_again_after_its_connection_was_ended(
    run: Run, people: dict[str, User]
) -> None:
    @sync_to_async
    def listeners() -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(LISTENER)
            return [pid for (pid,) in cursor.fetchall()]

    @sync_to_async
    def end(pid: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])

    async def listener() -> int:
        for _ in range(100):
            if found := await listeners():
                return found[0]
            await asyncio.sleep(0.05)
        raise AssertionError("nobody listens")

    async def body() -> None:
        async with socket(f"/ws/runs/{run.pk}/", people["viewer"]) as opened:
            await opened.frame('id="run"')
            await begin(run)
            first = await listener()
            await end(first)
            await mark(run, 41)  # nobody listens now
            await opened.frame("41 / 900", seconds=4)
            second = await listener()
            assert second != first
            await mark(run, 42)
            await opened.frame("42 / 900", seconds=4)

    in_a_loop(body)


def test_a_payload_that_is_no_run_harms_nobody(run: Run, people: dict[str, User]) -> None:
    @sync_to_async
    def shout() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, 'boo')", [lifecycle.CHANNEL])

    async def body() -> None:
        async with socket(f"/ws/runs/{run.pk}/", people["viewer"]) as opened:
            await opened.frame('id="run"')
            await begin(run)
            await shout()
            await mark(run, 3)
            await opened.frame("3 / 900", seconds=4)

    in_a_loop(body)


def test_who_may_not_see_a_run_gets_no_socket(
    run: Run, people: dict[str, User], project: Project
) -> None:
    async def body() -> None:
        for path in (f"/ws/runs/{run.pk}/", f"/ws/projects/{project.pk}/results/"):
            assert await refused(path, people["outsider"])
            assert await refused(path, AnonymousUser())
        assert await refused("/ws/runs/999999999/", people["owner"])
        assert await refused("/ws/projects/999999999/results/", people["owner"])

    in_a_loop(body)


def test_a_membership_that_ends_ends_the_socket(run: Run, people: dict[str, User]) -> None:
    @sync_to_async
    def leave() -> None:
        Membership.objects.filter(user=people["viewer"]).delete()

    async def body() -> None:
        async with socket(f"/ws/runs/{run.pk}/", people["viewer"]) as opened:
            await opened.frame('id="run"')
            await leave()
            await begin(run)
            said = await opened.next(8)
            while said["type"] == "websocket.send":
                assert "pill running" not in said["text"]
                said = await opened.next(8)
            assert said == {"type": "websocket.close", "code": consumers.NOT_ALLOWED}

    in_a_loop(body)


def test_a_point_comes_to_the_pareto_page_when_its_evaluation_lands(
    project: Project, people: dict[str, User], run: Run
) -> None:
    scores = {"helpful": [2.0] * 4, "harmless": [1.0] * 4, "truthful": [0.5] * 4}

    @sync_to_async
    def land() -> None:
        evaluation = add_evaluation(project, "run: start", scores)
        stage = stage_of(run, "evaluate", 0)
        evaluation.stage = stage
        evaluation.save()
        lifecycle.move(stage, Status.SUCCEEDED)

    async def body() -> None:
        await begin(run)
        path = f"/ws/projects/{project.pk}/results/?x=helpful&y=truthful"
        async with socket(path, people["viewer"]) as opened:
            assert "No evaluation yet" in await opened.frame('id="results"')
            await land()
            frame = await opened.frame("run: start", seconds=4)
            assert "at 0.25 helpful and 0.50 truthful" in frame

    in_a_loop(body)
