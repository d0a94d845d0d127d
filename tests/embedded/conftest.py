"""Clones in folders that everybody may enter, since pytest's own are for one user only."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mora_web.embedded import postgres, processes
from mora_web.embedded.location import REACHABLE_HOME, Location, location


@pytest.fixture(autouse=True, scope="package")
def _embedded_default() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MORA_VAR", "DATABASE_URL", "PORT", processes.MARK):
            patch.delenv(name, raising=False)
        yield


def remove(folder: Path) -> None:
    """Remove a clone, and what its database keeps elsewhere."""
    for var in folder.rglob("var"):
        place = location(var.parent)
        postgres.stop(place)
        for kept in (place.home, Path("/tmp") / f"mora-{place.home.name}"):
            shutil.rmtree(kept, ignore_errors=True)
    if REACHABLE_HOME.exists() and not any(REACHABLE_HOME.iterdir()):
        REACHABLE_HOME.rmdir()
    shutil.rmtree(folder)


@pytest.fixture
def ground() -> Iterator[Path]:
    """An empty folder with a short path that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="mora-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    remove(folder)


@pytest.fixture(scope="module")
def place() -> Iterator[Location]:
    """A clone whose cluster is made once for the module; each test leaves its server stopped."""
    folder = Path(tempfile.mkdtemp(prefix="mora-", dir="/tmp"))
    folder.chmod(0o755)
    clone = folder / 'a "clone" of mine'
    clone.mkdir()
    found = location(clone)
    postgres.ensure_cluster(found)
    yield found
    remove(folder)


@pytest.fixture
def small_disk(ground: Path) -> Iterator[Path]:
    """A clone on a disk of 8 MB. Mounting one takes root and a kernel that lets it."""
    disk = ground / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(disk)], check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    for var in disk.rglob("var"):
        postgres.stop(location(var.parent))
    subprocess.run(["umount", str(disk)], check=True)
