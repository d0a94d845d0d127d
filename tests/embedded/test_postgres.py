"""The embedded PostgreSQL with its real binaries: who runs it, where, and after a kill -9."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from mora_web.embedded import postgres, processes
from mora_web.embedded.location import Location, location
from mora_web.embedded.surroundings import SetupError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by PostgreSQL")


def ask(place: Location, query: str) -> tuple[object, ...]:
    with psycopg.connect(place.url, connect_timeout=5) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row


def as_ordinary_user(do: Callable[[], None]) -> None:
    """Run `do` as nobody when we are root, in a child process; fail when it raises."""
    if os.geteuid() != 0:
        return do()
    nobody = pwd.getpwnam("nobody")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            do()
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.__stderr__)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return None


def test_it_answers_over_its_socket_as_the_role_and_database_mora(place: Location) -> None:
    postgres.start(place)
    who = ask(place, "SELECT current_user::text, current_database()::text, lower('Ä')")
    tcp, durable = ask(
        place, "SELECT current_setting('listen_addresses'), current_setting('fsync')"
    )
    postgres.stop(place)
    assert who == ("mora", "mora", "ä")
    assert (tcp, durable) == ("", "on")


def test_a_running_server_is_adopted_and_a_stopped_one_is_gone(place: Location) -> None:
    first = postgres.start(place)
    assert postgres.adopt(place) == first == postgres.start(place)
    assert postgres.is_ready(place)
    backends = processes.descendants([first])
    postgres.stop(place)
    assert len(backends) > 3
    assert not any(processes.is_running(pid) for pid in backends)
    assert postgres.adopt(place) is None
    assert not postgres.is_ready(place)
    postgres.stop(place)


def test_rows_survive_a_killed_postmaster_whose_backend_is_still_at_work(place: Location) -> None:
    killed = postgres.start(place)
    query = "DO $$ BEGIN LOOP END LOOP; END $$"
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
        backend = connection.info.backend_pid

        def never_ends() -> None:
            with pytest.raises(psycopg.OperationalError):
                connection.execute(query)

        busy = threading.Thread(target=never_ends)
        busy.start()
        counted = f"SELECT count(*) FROM pg_stat_activity WHERE query = '{query}'"
        deadline = time.monotonic() + 5
        while ask(place, counted) != (1,):
            assert time.monotonic() < deadline
        os.kill(killed, signal.SIGKILL)
        assert processes.wait_until_gone([killed], 5)
        assert processes.is_running(backend)
        assert postgres.start(place) != killed
        busy.join(5)
    count = ask(place, "SELECT count(*) FROM kept")
    postgres.stop(place)
    assert count == (1000,)
    assert not processes.is_running(backend)


def test_a_pid_that_went_to_another_process_is_not_taken_for_the_server(place: Location) -> None:
    user = {} if place.uid == os.geteuid() else {"user": place.uid}
    other = subprocess.Popen(["sleep", "60"], cwd="/", **user)
    (place.data / "postmaster.pid").write_text(f"{other.pid}\n{place.data}\n1\n5432\n")
    try:
        assert postgres.adopt(place) is None
        postgres.stop(place)
        assert other.poll() is None
        assert postgres.start(place) != other.pid
        postgres.stop(place)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_ordinary_user_runs_it_in_a_deep_folder_that_only_they_can_enter(ground: Path) -> None:
    own = ground / "own"
    own.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(own, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
    clone = own / ("deep, " * 20)
    seen = ground / "seen"
    seen.mkdir()
    seen.chmod(0o777)

    def use() -> None:
        clone.mkdir()
        place = location(clone)
        postgres.start(place)
        name, *_ = ask(place, "SELECT current_user::text")
        assert place.data == clone / "var" / "postgres"
        assert len(os.fsencode(place.socket / ".s.PGSQL.5432")) <= 107
        assert place.socket.stat().st_mode & 0o777 == 0o700
        postgres.stop(place)
        (seen / str(name)).touch()

    as_ordinary_user(use)
    assert [path.name for path in seen.iterdir()] == ["mora"]


@needs_root
def test_root_in_a_closed_folder_keeps_it_closed_and_the_data_reachable(ground: Path) -> None:
    closed = ground / "closed"
    clone = closed / "clone"
    clone.mkdir(parents=True)
    closed.chmod(0o700)
    outside = [ground, closed, clone, Path("/var/lib"), *ground.parents]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in outside]
    place = location(clone)
    left_running = postgres.start(place)
    assert location(clone) == place
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE old ()")
    assert [(path.stat().st_mode, path.stat().st_uid) for path in outside] == before
    assert place.data.parent == place.home == place.socket.parent
    assert stat.S_IMODE(place.home.stat().st_mode) == 0o710
    for folder in (place.data, place.socket):
        assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (place.uid, 0o700)

    # Whoever removes var has an empty console, and what lay elsewhere is kept aside.
    shutil.rmtree(place.var)
    assert postgres.start(place) != left_running
    tables = ask(place, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    postgres.stop(place)
    assert tables == (0,)
    assert (place.home / "postgres.previous" / "PG_VERSION").exists()


@needs_root
def test_binaries_out_of_reach_are_copied(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = location(ground)
    closed = ground / "closed"
    closed.mkdir(mode=0o700)
    for name in (here.package.name, f"{here.package.name}.libs"):
        (closed / name).symlink_to(here.package.with_name(name))
    monkeypatch.setattr("mora_web.embedded.location._package", lambda: closed / here.package.name)
    place = location(ground)
    assert place.home in place.binaries.parents
    postgres.start(place)
    copied = place.binaries / "postgres"
    argv = processes.arguments(postgres.adopt(place) or 0)
    made = copied.stat().st_mtime_ns, copied.stat().st_ino
    postgres.stop(place)
    postgres.start(place)
    postgres.stop(place)
    assert argv[0] == str(copied)
    assert (copied.stat().st_mtime_ns, copied.stat().st_ino) == made


def test_a_cluster_left_half_made_is_made_anew(ground: Path) -> None:
    place = location(ground)
    half = place.var / "postgres.new-1"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("16\n")
    postgres.start(place)
    postgres.stop(place)
    assert not half.exists()
    assert (place.data / "PG_VERSION").exists()


def test_a_full_disk_is_one_sentence(small_disk: Path) -> None:
    with pytest.raises(SetupError, match=r"^The disk that holds \S+ is full: free some space"):
        postgres.start(location(small_disk))


def test_a_socket_folder_that_is_not_ours_is_refused(ground: Path) -> None:
    place = location(ground)
    place.socket.mkdir(parents=True, mode=0o755)
    with pytest.raises(SetupError, match="is not a private folder of"):
        postgres.start(place)
