"""A real Chromium against a real web process on the test's database."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django import Settings

from alignment.models import Membership, Project, Role, Run
from tests.builders import make_run, ready_project
from tests.conftest import _die_with_parent, database_url
from tests.environment import BASE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
REFUSED = "Failed to load resource: the server responded with a status of"
CUT = (
    "Failed to load resource: net::ERR_INTERNET_DISCONNECTED",
    "htmx:sendError",
    "htmx:afterRequest",
)
SEEN_ON_THE_PAGE = ("WebSocket connection", f"{REFUSED} 409", f"{REFUSED} 422", *CUT)
PASSWORD = "correct horse battery"


@pytest.fixture
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: none of chromium, chromium-browser is on the path")
    flags = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright runs a loop in this thread, beside which Django would refuse its own calls.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()
        connections.close_all()  # beside a loop Django keeps connections of their own


@dataclass
class Site:
    """A web process that can be ended and started again at the same address."""

    port: int
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [sys.executable, "-m", "uvicorn", "mora_web.asgi:application"]
        self.process = subprocess.Popen(
            [*argv, "--host", "127.0.0.1", "--port", str(self.port)],
            cwd=BASE,
            env=self.env,
            stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/sign-in/", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"no console within 30 s: {self.log.read_text()}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it and wait until it has left the database."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(15)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def artifacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTIFACTS = tmp_path / "artifacts"
    (settings.ARTIFACTS / "model").mkdir(parents=True)
    return tmp_path / "artifacts"


@pytest.fixture
def site(transactional_db: None, artifacts: Path, tmp_path: Path) -> Iterator[Site]:
    env = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "MORA_VAR": str(tmp_path),
        "MORA_ARTIFACTS": str(artifacts),
        "MODEL_ROOTS": "/",
        "SECRET_KEY": settings.SECRET_KEY,
    }
    started = Site(port=free_port(), env=env, log=tmp_path / "web.log")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_user("ada", password=PASSWORD)


@pytest.fixture
def project(owner: User, artifacts: Path) -> Project:
    made = ready_project("model")
    Membership.objects.create(project=made, user=owner, role=Role.OWNER)
    return made


@pytest.fixture
def run(project: Project, owner: User) -> Run:
    return make_run(project, owner, review={"mode": "required"})


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, owner: User, site: Site) -> Iterator[OpenPage]:
    """Pages of a signed-in browser. A page that complains in its console fails its test."""
    complaints: list[str] = []

    def complain(page: Page, kind: str, text: str) -> None:
        # What the browser says of a socket, or of an answer that refuses, is seen on the page.
        if kind == "error" and not text.startswith(SEEN_ON_THE_PAGE):
            complaints.append(f"{page.url}: {text}")

    def opened(path: str, signed_in: bool = True, **context: Any) -> Page:
        size = context.pop("viewport", {"width": 1280, "height": 860})
        made = browser.new_context(viewport=size, **context)
        if signed_in:
            made.add_cookies([{"name": "sessionid", "value": session_of(owner), "url": site.url}])
        page = made.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda said: complain(page, said.type, said.text))
        page.goto(site.url + path)
        return page

    yield opened
    assert not complaints, complaints


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
