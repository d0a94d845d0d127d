"""The same run over each broker. A broker that answers on no standard port is named as skipped."""

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from kombu import Connection

from alignment.models import Chunk, Project, Rollout, Worker
from alignment.services import runs
from tests.builders import make_run
from tests.chaos.console import free_port, until
from tests.conftest import Workers, wait_for_run
from tests.lies import LIES

BROKERS = {
    "files": "filesystem://localhost//",
    "rabbitmq": "amqp://guest:guest@127.0.0.1:5672//",
    "redis": "redis://127.0.0.1:6379/9",
}
NOTHING = {"rule": "flat", "spread_above": 1}
PORTS = {"rabbitmq": 5672, "redis": 6379}


def run_through(project: Project, by: User, workers: Workers, seconds: float = 240) -> None:
    """A run succeeds, and no worker falls over it."""
    run = make_run(project, by, mine=NOTHING)
    runs.start_run(run=run, by=by)
    wait_for_run(run, seconds)
    assert run.status == "succeeded"
    assert_all_alive(workers)


def assert_all_alive(workers: Workers) -> None:
    assert all(process.poll() is None for process in workers.running.values()), "a worker fell"


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name in PORTS:
        try:
            socket.create_connection(("127.0.0.1", PORTS[name]), timeout=2).close()
        except OSError:
            pytest.skip(f"no {name} answers on 127.0.0.1:{PORTS[name]}")
    return BROKERS[name]


@pytest.mark.xdist_group("brokers")
def test_a_run_succeeds_over_the_broker(
    broker: str, sandbox: Project, owner: User, make_workers: Callable[[str], Workers]
) -> None:
    started = make_workers(broker)
    started.start()
    run = make_run(sandbox, owner, mine=NOTHING)
    runs.start_run(run=run, by=owner)
    wait_for_run(run)
    assert run.status == "succeeded"
    assert Rollout.objects.filter(sampling__stage__kind="sample").count() == 20 * 8


@pytest.mark.xdist_group("brokers")
def test_a_run_starts_though_every_bell_was_lost(
    sandbox: Project, owner: User, make_workers: Callable[[str], Workers]
) -> None:
    run = make_run(sandbox, owner, mine=NOTHING)
    runs.start_run(run=run, by=owner)  # nobody listens, and this process rings at its own broker
    make_workers(BROKERS["files"]).start()
    wait_for_run(run)
    assert run.status == "succeeded"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a Redis of the test's own, again and again on the same port, its port in the file."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port, running = str(free_port()), []
    (tmp_path / "port").write_text(port)

    def start() -> subprocess.Popen[bytes]:
        options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        server = subprocess.Popen([program, *options, "--dir", str(tmp_path)], stdout=-3)
        running.append(server)
        until(lambda: _answers(int(port)), 10)
        return server

    yield start
    for server in running:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.xdist_group("brokers")
def test_work_goes_on_while_the_broker_is_away_and_after_it_came_back_empty(
    sandbox: Project,
    owner: User,
    make_workers: Callable[[str], Workers],
    redis: Callable[[], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    server = redis()
    workers = make_workers(f"redis://127.0.0.1:{(tmp_path / 'port').read_text()}/0")
    workers.start()
    until(lambda: Worker.objects.count() == 2, 60)
    server.send_signal(signal.SIGKILL)
    server.wait()
    run = make_run(sandbox, owner, mine=NOTHING)
    runs.start_run(run=run, by=owner)  # nobody hears the bell
    until(lambda: Chunk.objects.filter(stage__run=run).exclude(state="open").exists(), 10)
    time.sleep(12)  # long enough for Celery to wait longer between its tries
    redis()
    wait_for_run(run)
    assert run.status == "succeeded"


@pytest.mark.xdist_group("brokers")
@pytest.mark.parametrize("trouble", ["REPLICAOF 127.0.0.1 1", "SET gpu text", "SET cpu text"])
def test_work_goes_on_while_the_broker_answers_with_an_error(
    trouble: str,
    sandbox: Project,
    owner: User,
    make_workers: Callable[[str], Workers],
    redis: Callable[[], subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    redis()
    port = (tmp_path / "port").read_text()
    workers = make_workers(f"redis://127.0.0.1:{port}/0")
    workers.start()
    until(lambda: Worker.objects.count() == 2, 60)
    subprocess.run(["redis-cli", "-p", port, "DEL", "gpu", "cpu"], check=True)
    subprocess.run(["redis-cli", "-p", port, *trouble.split()], check=True)
    run_through(sandbox, owner, workers, 90)


@pytest.mark.xdist_group("brokers")
def test_the_folder_of_the_broker_may_be_removed(
    sandbox: Project, owner: User, make_workers: Callable[[str], Workers], tmp_path: Path
) -> None:
    workers = make_workers(BROKERS["files"])
    workers.start()
    until(lambda: Worker.objects.count() == 2, 60)
    shutil.rmtree(tmp_path / "broker")
    run_through(sandbox, owner, workers)


@pytest.mark.xdist_group("brokers")
def test_half_written_files_of_the_broker_do_no_harm(
    sandbox: Project, owner: User, make_workers: Callable[[str], Workers], tmp_path: Path
) -> None:
    workers = make_workers(BROKERS["files"])
    (tmp_path / "broker" / "control").mkdir(exist_ok=True)
    (tmp_path / "broker" / "control" / "gpu.exchange").write_text('[["gpu", "", "g')
    (tmp_path / "broker" / "messages" / "1_half.gpu.msg").write_text('{"body": "W1sxXSwge')
    (tmp_path / "broker" / "messages" / "2_odd.cpu.msg").write_text("[1]")
    for i, lie in enumerate(LIES):
        (tmp_path / "broker" / "messages" / f"3_lie{i}.gpu.msg").write_text(json.dumps(lie))
    workers.start()
    run_through(sandbox, owner, workers)
    until(lambda: not list((tmp_path / "broker" / "messages").iterdir()), 10)
    assert_all_alive(workers)


def test_messages_appear_whole_to_who_reads_all_the_while(tmp_path: Path) -> None:
    names = ("data_folder_in", "data_folder_out", "control_folder")
    options = {name: str(tmp_path / name[:4]) for name in names}
    for folder in options.values():
        Path(folder).mkdir(exist_ok=True)
    count, found = 3000, []

    def connection() -> Connection:
        return Connection("filesystem://", transport_options=options)

    def write() -> None:
        with connection() as here:
            queue = here.SimpleQueue("bells")
            for i in range(count):
                queue.put({"number": i})

    writer = threading.Thread(target=write)
    with connection() as here:
        queue = here.SimpleQueue("bells")  # bound before anything is sent
        writer.start()
        while len(found) < count:
            message = queue.get(timeout=10)
            found.append(message.payload["number"])
            message.ack()
    writer.join()
    assert found == list(range(count))
