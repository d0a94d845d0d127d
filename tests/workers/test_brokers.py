"""The same run over each broker. A broker that answers on no standard port is named as skipped."""

import socket
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment.models import Project, Rollout
from alignment.services import runs
from tests.builders import make_run
from tests.conftest import Workers, wait_for_run

BROKERS = {
    "files": "filesystem://localhost//",
    "rabbitmq": "amqp://guest:guest@127.0.0.1:5672//",
    "redis": "redis://127.0.0.1:6379/9",
}
NOTHING = {"rule": "flat", "spread_above": 10}
PORTS = {"rabbitmq": 5672, "redis": 6379}


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
