"""An import killed in the middle leaves nothing, and the next one succeeds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from alignment.method.records import Dimension
from alignment.models import Prompt, PromptSet
from alignment.services.imports import import_prompts
from alignment.services.projects import create_project

# Reads from a pipe that its writer keeps open, so that it is surely in the middle when killed.
IMPORT = """
import os, sys
import django
django.setup()
from django.db import connections
connections["default"].settings_dict["NAME"] = sys.argv[1]
from pathlib import Path
from alignment.models import Project
from alignment.services.imports import import_prompts
path = Path(sys.argv[2])
import_prompts(
    project=Project.objects.get(), set_name="S", path=path, columns={"prompt": "prompt"}, by=None
)
"""


@pytest.mark.django_db(transaction=True)
def test_a_killed_import_leaves_nothing(tmp_path: Path) -> None:
    project = create_project(
        name="P", dimensions=[Dimension(name="helpful", scale_low=0, scale_high=1, bar=1)]
    )
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    database = connection.settings_dict["NAME"]
    child = subprocess.Popen(
        [sys.executable, "-c", IMPORT, str(database), str(pipe)],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "mora_web.settings"},
    )
    try:
        with pipe.open("wb", buffering=0) as file:
            file.write(b"prompt\n" + b"".join(b"prompt %d\n" % i for i in range(5000)))
            wait_for_copy(str(database))
            child.send_signal(signal.SIGKILL)
            child.wait()
    finally:
        child.kill()
        child.wait()
    assert not Prompt.objects.exists()
    assert not PromptSet.objects.exists()
    whole = tmp_path / "b.csv"
    whole.write_text("prompt\na\n")
    done = import_prompts(project=project, set_name="S", path=whole, columns={}, by=None)
    assert done.rows == 1


def wait_for_copy(database: str) -> None:
    """Until another connection of the database is in the middle of a COPY."""
    deadline = time.monotonic() + 60
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        " AND query LIKE 'COPY staged%%'"
    )
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(query, [database])
            if cursor.fetchone()[0]:
                return
            time.sleep(0.05)
    raise AssertionError("the import never came to its COPY")
