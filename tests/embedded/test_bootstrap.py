"""`make` on a new clone: the virtual environment is made, repaired, or refused in one sentence."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pip
import pytest

BASE = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone, in a folder with a space, whose requirements are none and whose demo says hello."""
    folder = tmp_path / "my clone"
    folder.mkdir()
    equip(folder)
    return folder


def equip(folder: Path) -> None:
    for name in ("Makefile", "bootstrap.sh"):
        shutil.copy(BASE / name, folder)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (folder / name).touch()
    (folder / "manage.py").write_text("import sys; print('hello', *sys.argv[1:])")
    # A Python that lends its pip to the environments it makes: unpacking one takes long.
    real, site = shlex.quote(sys.executable), shlex.quote(str(Path(pip.__file__).parent.parent))
    interpreter(
        folder,
        f'case "$*" in "-m venv .venv") {real} -m venv --without-pip .venv && '
        f'echo {site} > "$(echo .venv/lib/python*/site-packages)/lent.pth" ;;\n'
        f'*) exec {real} "$@" ;; esac',
    )


def make(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        ["make", "--no-print-directory", "PYTHON=./python3", *words],
        cwd=clone,
        env=env,
        text=True,
        capture_output=True,
        check=False,
    )


def interpreter(folder: Path, script: str) -> Path:
    path = folder / "python3"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a refusal, beside make's own line."""
    assert done.returncode != 0
    sentence, makes = done.stderr.splitlines()
    assert makes.startswith("make: ***")
    return sentence


def test_the_environment_is_made_once_and_the_command_gets_its_arguments(clone: Path) -> None:
    first, second = make(clone, "demo", "ARGS=--seed 2"), make(clone, "demo")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines()[-1] == "hello demo --seed 2"
    assert second.stdout == "hello demo\n"


def test_an_environment_that_an_interrupted_install_left_is_made_anew(clone: Path) -> None:
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to(sys.executable)
    (clone / ".venv/unfinished").touch()
    (clone / ".venv/half").touch()
    assert make(clone, "demo").stdout.splitlines()[-1] == "hello demo"
    assert not (clone / ".venv/half").exists()
    assert not (clone / ".venv/unfinished").exists()


def test_a_package_that_is_not_there_is_named(clone: Path) -> None:
    (clone / "requirements.txt").write_text("./no-such-package\n")
    sentence = refusal(make(clone, "demo"))
    assert sentence.startswith("Making .venv failed: ")
    assert "no-such-package" in sentence
    # Nothing was installed, so the environment is whole and stays.
    assert not (clone / ".venv/unfinished").exists()


def test_a_missing_python_is_one_sentence(clone: Path) -> None:
    assert refusal(make(clone, "demo", "PYTHON=no-such-python")) == (
        "no-such-python is missing: Python 3.11, 3.12 or 3.13 is needed; "
        "name one with make PYTHON=/path/to/python3."
    )


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14"])
def test_a_wrong_python_is_one_sentence(clone: Path, version: str) -> None:
    python = interpreter(clone, f"echo {version}")
    assert refusal(make(clone, "demo", f"PYTHON={python}")) == (
        f"{python} is Python {version}: Python 3.11, 3.12 or 3.13 is needed; "
        "name one with make PYTHON=/path/to/python3."
    )


def test_a_missing_venv_module_is_one_sentence(clone: Path) -> None:
    python = interpreter(clone, 'case "$2" in *ensurepip*) exit 1 ;; esac; echo 3.11')
    assert refusal(make(clone, "demo", f"PYTHON={python}")) == (
        f"{python} has no venv module: install it (on Debian and Ubuntu: apt install python3-venv)."
    )


def test_a_full_disk_is_one_sentence(small_disk: Path) -> None:
    equip(small_disk)
    filled = shutil.disk_usage(small_disk).free
    (small_disk / "film").write_bytes(bytes(filled))
    assert refusal(make(small_disk, "demo")) == (
        "The disk is full: free some space (.venv takes several GB) and run this again."
    )
