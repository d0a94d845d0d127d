"""The supervisor over real processes: restarts, adoption after a kill -9, and a clean end."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mora_web.embedded import member, postgres, processes, supervisor
from mora_web.embedded.location import Location, location
from mora_web.embedded.supervisor import Process, SetupError, Supervisor

SLEEPER = Process(name="sleeper", argv=("sleep", "601"))
# One child in its session, one in a session of its own.
FAMILY = Process(name="family", argv=("sh", "-c", "sleep 602 & setsid sleep 603 & exec sleep 605"))
# And one that carries no mark.
NAMELESS = Process(name="nameless", argv=("sh", "-c", "env -i sleep 604 & exec sleep 605"))
OTHER_PROCESS = """
import sys, time
from pathlib import Path
from mora_web.embedded.location import location
from mora_web.embedded.supervisor import Process, Supervisor
base = Path(sys.argv[1])
database = location(base) if sys.argv[2] == "database" else None
members = [Process(name=n, argv=tuple(argv)) for n, argv in eval(sys.argv[3])]
try:
    with Supervisor(var=base / "var", folder=base, members=members, database=database) as held:
        held.start()
        print("started", flush=True)
        while True:
            held.poll()
            time.sleep(0.05)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter waits than people get."""
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 1.5)
    monkeypatch.setattr(supervisor, "LEFTOVER_SECONDS", 0.3)
    monkeypatch.setattr(member, "SHORTEST_PAUSE", 0.1)
    monkeypatch.setattr(member, "LEFTOVER_SECONDS", 0.3)


def over(base: Path, *members: Process, database: Location | None = None) -> Supervisor:
    return Supervisor(var=base / "var", folder=base, members=members, database=database)


def running(base: Path, name: str) -> list[int]:
    return sorted(p for p, n in processes.marked(str(base / "var")).items() if n == name)


def wait_for(held: Supervisor | None, true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        if held is not None:
            held.poll()
        time.sleep(0.05)


@contextmanager
def other_process(
    base: Path, *members: Process, database: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Another Python process that supervises, started; killed at the end if it still runs."""
    listed = repr([(process.name, list(process.argv)) for process in members])
    argv = [sys.executable, "-c", OTHER_PROCESS, str(base), "database" if database else "", listed]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "started\n"
            yield child
        finally:
            child.kill()


def sleeping(seconds: int) -> list[int]:
    return [p for p in processes.all_pids() if processes.arguments(p) == ["sleep", str(seconds)]]


def test_a_dead_process_starts_again_after_a_pause_that_doubles(tmp_path: Path) -> None:
    with over(tmp_path, SLEEPER) as held:
        held.start()
        wait_for(None, lambda: bool(running(tmp_path, "sleeper")))  # its mark shows a moment late
        said: list[str] = []
        for _ in range(3):
            (first,) = running(tmp_path, "sleeper")
            os.kill(first, signal.SIGKILL)
            deadline = time.monotonic() + 10
            while running(tmp_path, "sleeper") in ([first], []):
                assert time.monotonic() < deadline
                said += held.poll()
                time.sleep(0.02)
    log = tmp_path / "var/log/sleeper.log"
    assert said == [
        f"sleeper ended (SIGKILL, see {log}) and starts again in {pause} s"
        for pause in ("0.1", "0.2", "0.4")
    ]


def test_what_a_dead_process_left_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    with over(tmp_path, FAMILY) as held:
        held.start()
        wait_for(held, lambda: len(running(tmp_path, "family")) == 3)
        before = running(tmp_path, "family")
        leader = json.loads((tmp_path / "var/run/family.json").read_text())["pid"]
        os.kill(leader, signal.SIGKILL)
        wait_for(held, lambda: len(set(running(tmp_path, "family")) - set(before)) == 3)
        assert not set(running(tmp_path, "family")) & set(before)


def test_leaving_ends_all_descendants_whatever_their_session_or_environment(tmp_path: Path) -> None:
    nameless_before = set(sleeping(604))
    with over(tmp_path, NAMELESS, FAMILY) as held:
        held.start()
        wait_for(held, lambda: len(held.pids()) == 6)
        family = held.pids() - {os.getpid()}
        assert len((set(sleeping(604)) - nameless_before) & family) == 1
    assert not any(processes.is_running(pid) for pid in family)
    assert not list((tmp_path / "var/run").glob("*.json"))


def test_a_dead_process_leaves_nothing_without_a_mark_either(tmp_path: Path) -> None:
    with over(tmp_path, NAMELESS) as held:
        held.start()
        wait_for(held, lambda: len(held.pids()) == 3)
        (leader,) = running(tmp_path, "nameless")
        os.kill(leader, signal.SIGKILL)
        assert processes.wait_until_gone([leader], 5)
        left = held.pids() - {os.getpid()}
        assert [processes.arguments(pid) for pid in left] == [["sleep", "604"]]
        wait_for(held, lambda: not any(processes.is_running(pid) for pid in left))


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    deaf = Process(name="deaf", argv=("sh", "-c", "trap '' TERM; sleep 606; sleep 607"))
    with over(tmp_path, deaf) as held:
        held.start()
        wait_for(held, lambda: len(running(tmp_path, "deaf")) == 2)
        began = time.monotonic()
    assert running(tmp_path, "deaf") == []
    assert 1.4 < time.monotonic() - began < 8


def test_sigterm_alone_lets_a_process_end_what_it_started(tmp_path: Path) -> None:
    tidy = Process(
        name="tidy", argv=("sh", "-c", "sleep 608 & trap 'echo tidied; kill $!' TERM; wait; wait")
    )
    with over(tmp_path, tidy) as held:
        held.start()
        wait_for(held, lambda: len(running(tmp_path, "tidy")) == 2)
        time.sleep(0.2)
    assert (tmp_path / "var/log/tidy.log").read_text() == "tidied\n"


def test_a_killed_supervisors_processes_are_adopted_not_doubled(tmp_path: Path) -> None:
    with other_process(tmp_path, SLEEPER, FAMILY) as killed:
        wait_for(None, lambda: len(running(tmp_path, "family")) == 3)
        before = running(tmp_path, "sleeper"), running(tmp_path, "family")
        killed.kill()
        killed.wait()
    with over(tmp_path, SLEEPER, FAMILY) as held:
        held.start()
        held.poll()
        assert (running(tmp_path, "sleeper"), running(tmp_path, "family")) == before
        os.kill(before[0][0], signal.SIGKILL)
        wait_for(held, lambda: running(tmp_path, "sleeper") not in (before[0], []))
    assert running(tmp_path, "sleeper") == running(tmp_path, "family") == []


def test_a_process_with_other_settings_is_ended_and_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with other_process(tmp_path, SLEEPER) as killed:
        (before,) = running(tmp_path, "sleeper")
        killed.kill()
        killed.wait()
    monkeypatch.setenv("MODEL_ROOTS", "/elsewhere")
    with over(tmp_path, SLEEPER) as held:
        held.start()
        (after,) = running(tmp_path, "sleeper")
        assert after != before
        assert processes.environment(after)["MODEL_ROOTS"] == "/elsewhere"
        assert not processes.is_running(before)


def test_what_is_not_adopted_is_ended_first(tmp_path: Path) -> None:
    """A dead leader's group, another command line, and a process no longer on the list."""
    gone = Process(name="gone", argv=("sleep", "609"))
    with other_process(tmp_path, SLEEPER, FAMILY, gone) as killed:
        wait_for(None, lambda: len(running(tmp_path, "family")) == 3)
        killed.kill()
        killed.wait()
    leader = json.loads((tmp_path / "var/run/family.json").read_text())["pid"]
    os.kill(leader, signal.SIGKILL)
    before = {*running(tmp_path, "sleeper"), *running(tmp_path, "family")}
    changed = Process(name="sleeper", argv=("sleep", "610"))
    with over(tmp_path, changed, FAMILY) as held:
        held.start()
        wait_for(held, lambda: len(running(tmp_path, "family")) == 3)
        (sleeper,) = running(tmp_path, "sleeper")
        assert processes.arguments(sleeper) == ["sleep", "610"]
        assert not {sleeper, *running(tmp_path, "family")} & before
        assert running(tmp_path, "gone") == []


def test_a_record_of_a_pid_that_went_to_another_process_is_not_adopted(tmp_path: Path) -> None:
    other = subprocess.Popen(SLEEPER.argv)
    found = processes.stat(other.pid)
    assert found is not None
    seen = {"pid": other.pid, "start_time": found.start_time, "argv": SLEEPER.argv}
    (tmp_path / "var/run").mkdir(parents=True)
    (tmp_path / "var/run/sleeper.json").write_text(json.dumps(seen))
    with over(tmp_path, SLEEPER) as held:
        held.start()
        (pid,) = running(tmp_path, "sleeper")
        assert pid != other.pid
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_second_supervisor_says_who_runs_and_touches_nothing(tmp_path: Path) -> None:
    with other_process(tmp_path, SLEEPER) as first:
        before = running(tmp_path, "sleeper")
        sentence = rf"^This console is already running \(process {first.pid}\): stop that one"
        with pytest.raises(SetupError, match=sentence), over(tmp_path, SLEEPER) as second:
            second.start()
        assert running(tmp_path, "sleeper") == before != []
        first.terminate()
        assert first.communicate(timeout=20)[0] == "stopped\n"
        assert first.returncode == 0
    assert running(tmp_path, "sleeper") == []


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        held = Supervisor(
            var=tmp_path / "var",
            folder=tmp_path,
            members=[SLEEPER],
            database=location(tmp_path),
            port=port,
        )
        with pytest.raises(SetupError, match=rf"^Port {port} of 127.0.0.1 is in use: "), held:
            held.start()
    assert sorted(path.name for path in (tmp_path / "var").iterdir()) == ["log", "run"]
    assert running(tmp_path, "sleeper") == []


def test_a_step_before_that_fails_says_why_and_nothing_stays(tmp_path: Path) -> None:
    failing = Process(
        name="migrate", argv=("sh", "-c", "echo deep; echo no such table >&2; exit 3")
    )
    held = Supervisor(var=tmp_path / "var", folder=tmp_path, members=[SLEEPER], before=failing)
    with pytest.raises(SetupError, match=r"^migrate failed: no such table "), held:
        held.start()
    assert running(tmp_path, "sleeper") == []
    assert (tmp_path / "var/log/migrate.log").read_text() == "deep\nno such table\n"


def test_the_database_is_adopted_restarted_and_stopped_last(place: Location) -> None:
    base = place.var.parent
    uses_database = Process(
        name="client",
        argv=(
            sys.executable,
            "-c",
            "import psycopg, signal, sys\n"
            f"def end(*_): psycopg.connect({place.url!r}); print('still there'); sys.exit()\n"
            "signal.signal(signal.SIGTERM, end); print('up', flush=True); signal.pause()",
        ),
    )
    log = base / "var/log/client.log"
    with other_process(base, uses_database, database=True) as killed:
        first = postgres.adopt(place)
        killed.kill()
        killed.wait()
    assert first is not None
    with over(base, uses_database, database=place) as held:
        held.start()
        assert postgres.adopt(place) == first
        assert first in held.pids()
        os.kill(first, signal.SIGKILL)
        said: list[str] = []
        deadline = time.monotonic() + 20
        while postgres.adopt(place) in (None, first) or not postgres.is_ready(place):
            assert time.monotonic() < deadline
            said += held.poll()
            time.sleep(0.05)
        assert said == [f"postgres ended (see {place.log}) and starts again in 0.1 s"]
        wait_for(held, lambda: "up" in log.read_text())
    assert log.read_text() == "up\nstill there\n"
    assert postgres.adopt(place) is None


def test_a_database_that_is_killed_before_all_is_ready_starts_again(place: Location) -> None:
    base = place.var.parent
    once = base / "once"
    pid = shlex.quote(str(place.data / "postmaster.pid"))
    kills = f"mkdir {shlex.quote(str(once))} || exit 0; kill -9 $(head -1 {pid}); exit 1"
    held = Supervisor(
        var=base / "var",
        folder=base,
        members=[SLEEPER],
        database=place,
        before=Process(name="migrate", argv=("sh", "-c", kills)),
    )
    with held:
        held.start()
        assert postgres.is_ready(place)
        assert running(base, "sleeper")
