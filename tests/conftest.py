"""Fixtures that several packages share: a project in the sandbox's world, and real workers."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from alignment.models import ENDED, Policy, Project, Run
from mora_web.celery import app
from tests import policy
from tests.builders import add_prompts, make_project
from tests.environment import BASE
from workers.sandbox import world

FILES = "filesystem://localhost//"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need the sandbox's policy wait behind a third of the others while it is built.

    Of these, those on the standing workers stay together: every other test begins by ending them.
    """
    needs = [{*getattr(item, "fixturenames", ())} for item in items]
    built = [i for i, n in zip(items, needs, strict=True) if "sandbox_policy" in n]
    built.sort(key=lambda item: "workers" not in getattr(item, "fixturenames", ()))
    others = [i for i, n in zip(items, needs, strict=True) if "sandbox_policy" not in n]
    third = len(others) // 3
    items[:] = [*others[:third], *built, *others[third:]]
    is_first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    if built and is_first and not config.option.collectonly:
        artifacts = Path(settings.ARTIFACTS)
        threading.Thread(target=policy.sandbox_policy, args=(artifacts,), daemon=True).start()


@pytest.fixture(autouse=True)
def models_anywhere(settings: Settings) -> None:
    """Tests keep models in temporary folders; which folders are allowed has tests of its own."""
    settings.MODEL_ROOTS = [Path("/")]


@pytest.fixture
def owner(django_user_model: type[User]) -> User:
    return django_user_model.objects.create_superuser("ada", password="correct horse battery")


def _die_with_parent() -> None:
    """A test run that is itself killed leaves no worker on its database."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@dataclass
class Workers:
    """Real worker processes and a sweeper on the test's database and a broker of its own."""

    env: dict[str, str]
    log: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        for name in names or ("gpu", "cpu", "sweeper"):
            argv = ["manage.py", "sweep"]
            if name != "sweeper":
                queue = name.partition("-")[0]  # gpu-2 is a second one
                slots = "1" if queue == "gpu" else "2"
                node = f"{name}-{os.getpid()}@%h"
                argv = ["-m", "celery", "-A", "mora_web", "worker", "-Q", queue, "-n", node]
                argv += ["--pool", "threads", "-c", slots, "--without-gossip", "--without-mingle"]
            self.running[name] = subprocess.Popen(
                [sys.executable, *argv],
                cwd=BASE,
                env=self.env,
                stdout=self.log.open("ab"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def kill(self, name: str) -> None:
        """SIGKILL, as the kernel does it when memory runs out."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Kill all: to end in order takes Celery 5 s, and nothing may depend on it."""
        for name in list(self.running):
            self.kill(name)


@pytest.fixture
def make_workers(transactional_db: None, tmp_path: Path) -> Iterator[Callable[[str], Workers]]:
    """Workers on a broker, by its URL; all are ended with the test."""
    made: list[Workers] = []
    with _ringing_here() as ring_at:

        def make(broker: str = FILES) -> Workers:
            ring_at(broker, tmp_path)
            made.append(_workers(broker, tmp_path))
            return made[-1]

        yield make
        for workers in made:
            workers.stop()


_standing: list[Workers] = []


@pytest.fixture(scope="session")
def standing_workers(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    """Workers that one test after the other is given, so that not each waits for new ones."""
    _standing.append(_workers(FILES, tmp_path_factory.mktemp("workers")))
    yield _standing[0]
    _standing.pop().stop()


@pytest.fixture(autouse=True)
def nobody_works(request: pytest.FixtureRequest) -> None:
    """The standing workers look for work by themselves, and would do that of any test."""
    if "workers" not in request.fixturenames:
        for standing in _standing:
            standing.stop()


@pytest.fixture
def workers(transactional_db: None, standing_workers: Workers) -> Iterator[Workers]:
    """Workers that are there already, and were left at rest."""
    with _ringing_here() as ring_at:
        ring_at(FILES, standing_workers.log.parent)
        if not standing_workers.running:
            standing_workers.start()
        yield standing_workers
        left = Run.objects.exclude(status__in=ENDED).exclude(status="waiting")
        assert not left.exists(), "the test has left the workers something to do"


def _workers(broker: str, var: Path) -> Workers:
    env = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "CELERY_BROKER_URL": broker,
        "MORA_VAR": str(var),
        # Of its own: two test databases give different runs the same id.
        "MORA_ARTIFACTS": str(var / "artifacts"),
        "MODEL_ROOTS": f"{settings.ARTIFACTS}:{settings.VAR / 'artifacts'}",
        "SECRET_KEY": settings.SECRET_KEY,
    }
    return Workers(env=env, log=var / "workers.log")


@contextmanager
def _ringing_here() -> Iterator[Callable[[str, Path], None]]:
    """What tells this process where to ring and whose artifacts to look at, until the test ends."""
    folders = app.conf.broker_transport_options
    url, artifacts = app.conf.broker_url, settings.ARTIFACTS
    yield _ring_at
    _use_broker(url, folders)
    settings.ARTIFACTS = artifacts


def _ring_at(broker: str, var: Path) -> None:
    """Let this process ring where the workers listen, and share their artifacts."""
    settings.ARTIFACTS = var / "artifacts"
    messages, control = var / "broker" / "messages", var / "broker" / "control"
    messages.mkdir(parents=True, exist_ok=True)
    folders = {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
    }
    _use_broker(broker, folders if broker.startswith("filesystem:") else {})


def _use_broker(url: str, options: dict[str, object]) -> None:
    app.conf.broker_url, app.conf.broker_transport_options = url, options
    app.amqp._producer_pool = None
    app._pool = None


def database_url() -> str:
    """The test database as other processes are to reach it."""
    own = connection.settings_dict
    return (
        f"postgresql://{own['USER']}:{own['PASSWORD']}@/{own['NAME']}"
        f"?host={own['HOST']}&port={own['PORT']}"
    )


def wait_for_run(run: Run, seconds: float = 240, until: tuple[str, ...] = ()) -> Run:
    """Wait until the run has ended, or reached one of the statuses."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        run.refresh_from_db()
        if run.status in (until or ENDED):
            return run
        time.sleep(0.2)
    stages = [(s.kind, s.status, s.done, s.total, s.reason) for s in run.stages.all()]
    raise AssertionError(f"run still {run.status} after {seconds} s: {stages}")


@pytest.fixture
def project(db: None) -> Project:
    return Project.objects.create(name="Test", slug="test")


@pytest.fixture(scope="session")
def sandbox_policy() -> tuple[str, str]:
    """Folder and SHA-256 of the sandbox policy, built once per source."""
    artifacts = Path(settings.ARTIFACTS)
    name, digest = policy.sandbox_policy(artifacts)
    return str(artifacts / name), digest


@pytest.fixture
def sandbox(transactional_db: None, sandbox_policy: tuple[str, str]) -> Project:
    """A sandbox project that can really run: policy, prompts to mine and prompts held out."""
    project = make_project()
    folder, digest = sandbox_policy
    Policy.objects.create(project=project, name="start", folder=folder, sha256=digest)
    counts: dict[world.Kind, int] = {"helpful": 4, "safety": 12, "mixed": 4}
    add_prompts(project, "mixed", [p.text for p in world.prompts(11, counts)])
    counts = {"helpful": 2, "safety": 4, "mixed": 2}
    add_prompts(project, "held-out", [p.text for p in world.prompts(12, counts)])
    return project
