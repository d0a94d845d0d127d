"""A pytest plugin, loaded before the settings: tests keep their files and their embedded
PostgreSQL under var/test, so that a console running from the same clone is left alone."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

BASE = Path(__file__).resolve().parent.parent
os.environ["MORA_VAR"] = os.environ.get("MORA_TEST_VAR") or str(BASE / "var" / "test")
os.environ.pop("CELERY_BROKER_URL", None)
# A waiting OpenMP thread that spins takes the core from the process that another test waits for.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_configure(config: pytest.Config) -> None:
    """Start the embedded PostgreSQL once, in the process that the workers of xdist come from."""
    if "DATABASE_URL" in os.environ or hasattr(config, "workerinput"):
        return
    from mora_web.embedded import postgres

    place = postgres.location(BASE)
    if not postgres.adopt(place):
        postgres.start(place)
        config.add_cleanup(lambda: postgres.stop(place))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test is a failure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--fail-on-skip"):
        report.outcome = "failed"
    return report
