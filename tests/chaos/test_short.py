"""The short form of `make chaos`: a few kills in one console. Its timings are not judged here,
since other tests run beside it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import BASE


@pytest.mark.long
@pytest.mark.xdist_group("chaos")
def test_a_few_kills_lose_nothing_double_nothing_and_change_nothing(tmp_path: Path) -> None:
    output = tmp_path / "chaos.json"
    command = [sys.executable, "-m", "tests.chaos", "--kills", "4", "--seed", "4"]
    command += ["--output", str(output), "--var", str(tmp_path / "var")]
    done = subprocess.run(command, cwd=BASE, check=False, capture_output=True, text=True)
    assert output.exists(), done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert found["kills"] == 4, done.stdout
    names = ("lost", "doubled", "hash_equal", "orphans", "stale_writes", "failures")
    assert [found[n] for n in names] == [0, 0, True, 0, 0, []], done.stdout
