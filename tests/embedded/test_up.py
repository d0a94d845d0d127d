"""`manage.py up` in surroundings that are wrong: one sentence and status 1, never a traceback; and
when it says that it serves."""

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from alignment.management.commands import up as command
from mora_web.embedded.console import BASE
from mora_web.embedded.supervisor import Process, Supervisor
from mora_web.embedded.surroundings import SetupError, check_database, check_port, folder_errors


def up(var: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=BASE,
        env={**os.environ, "MORA_VAR": str(var), **env},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = up(tmp_path, PORT=str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"Port {port} of 127.0.0.1 is in use: "
        "stop what listens there or choose another port with PORT=.\n"
    )


def test_a_port_that_is_none(tmp_path: Path) -> None:
    done = up(tmp_path, PORT="80000")
    assert done.returncode == 1
    assert done.stderr == "PORT=80000 is not a port: give a number from 1 to 65535.\n"


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    nowhere = unused_port()
    url = f"postgresql://ada:secret@127.0.0.1:{nowhere}/mora"
    done = up(tmp_path, PORT=str(unused_port()), DATABASE_URL=url)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(
        f"Cannot reach the database of DATABASE_URL (127.0.0.1:{nowhere}/mora): "
    )
    assert "refused" in sentence
    assert "secret" not in sentence


def test_a_url_that_is_none() -> None:
    with pytest.raises(SetupError, match=r"^DATABASE_URL is not a postgresql:// URL\.$"):
        check_database("mysql://ada:secret@host/mora")


def test_a_database_that_accepts_but_never_speaks_is_given_up_after_its_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://ada@127.0.0.1:{silent.getsockname()[1]}/mora"
        with pytest.raises(SetupError, match="Cannot reach the database of DATABASE_URL"):
            check_database(url, seconds=2)


def test_a_port_that_this_user_may_not_have_or_that_is_free() -> None:
    with pytest.raises(SetupError, match=r"^Cannot listen on port 80 of 192\.0\.2\.1: "):
        check_port("192.0.2.1", 80)
    check_port("127.0.0.1", unused_port())


def test_a_disk_that_refuses_is_one_sentence() -> None:
    full, closed = Path("/dev/full"), Path("/proc/none")
    sentence = r"^The disk that holds /dev is full: "
    with pytest.raises(SetupError, match=sentence), folder_errors(full.parent):
        full.write_text("x")
    with pytest.raises(SetupError, match=r"^Cannot write /proc/none: "), folder_errors(closed):
        closed.mkdir()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ENGINE_THREADS": "abc"}, "ENGINE_THREADS=abc is not a number."),
        ({"CELERY_BROKER_URL": "nonsense"}, "CELERY_BROKER_URL is not a URL like redis://"),
        ({"DATABASE_URL": "postgresql://x:y@127.0.0.1:1/none"}, "The database went away or was"),
    ],
)
def test_a_command_in_wrong_surroundings_says_so_in_a_sentence(
    tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "create_project", "mine"],
        cwd=BASE,
        env={**os.environ, "MORA_VAR": str(tmp_path), **changes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (told,) = done.stderr.splitlines()
    assert told.startswith(sentence)


class Terminal(io.StringIO):
    """What is written, up to a sentence at which somebody tries the address and presses Ctrl-C."""

    def __init__(self, sentence: str, port: int) -> None:
        super().__init__()
        self.sentence, self.port, self.answered = sentence, port, False

    def write(self, text: str) -> int:
        super().write(text)
        if self.sentence in text:
            with socket.socket() as visitor:
                self.answered = visitor.connect_ex(("127.0.0.1", self.port)) == 0
            raise KeyboardInterrupt
        return len(text)


def told_at(
    sentence: str, argv: tuple[str, ...], port: int, var: Path, monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    """`up` over one process for the web, until it writes the sentence."""
    held = Supervisor(var=var, folder=BASE, members=[Process(name="web", argv=argv)], port=port)
    monkeypatch.setattr(Supervisor, "for_console", lambda port: held)
    terminal = Terminal(sentence, port)
    command.Command(stdout=terminal, stderr=terminal).handle(port=port)
    return terminal


def test_it_says_that_it_serves_once_the_web_accepts_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = unused_port()
    slow = f"sleep 1; exec {sys.executable} -m http.server {port} --bind 127.0.0.1"
    found = told_at("MORA serves", ("sh", "-c", slow), port, tmp_path / "var", monkeypatch)
    assert found.answered
    assert found.getvalue() == f"MORA serves http://127.0.0.1:{port}/ until Ctrl-C.\nStopped.\n"


def test_a_web_that_does_not_answer_is_told_and_not_called_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SERVE_SECONDS", 0.5, raising=False)
    port = unused_port()
    found = told_at("does not answer", ("sleep", "611"), port, tmp_path / "var", monkeypatch)
    told = found.getvalue()
    assert not found.answered and "MORA serves" not in told
    assert f"after 0.5 s: look at {tmp_path / 'var/log/web.log'}, or wait on." in told
