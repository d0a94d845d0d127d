"""A backup holds the whole console: restored into an empty one, everything is as it was."""

import errno
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from alignment.backup import archive, tables
from alignment.backup import artifacts as folders
from alignment.method.errors import MoraError
from alignment.models import Chunk, Policy, Project, Prompt, Run, Worker
from alignment.services import backups
from alignment.services.backups import make_backup, restore_backup
from tests.builders import make_run, ready_project, running_stage
from tests.outcome import hash_of
from workers import claims, sweeper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def artifacts(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """The console's artifacts, with one adapter in them; the schema is the newest afterwards."""
    settings.ARTIFACTS = tmp_path / "artifacts"
    folder = settings.ARTIFACTS / "runs" / "1" / "adapter"
    folder.mkdir(parents=True)
    (folder / "weights.dat").write_bytes(random.Random(1).randbytes(300_000))
    (folder / "half.aside").write_bytes(b"half")
    yield settings.ARTIFACTS
    call_command("migrate", verbosity=0)


@pytest.fixture
def run(owner: User, artifacts: Path) -> Run:
    """A run whose first stage is half done; its prompts hold what COPY has to escape."""
    project = ready_project("runs/1/adapter")
    text = "tab\there, line\nbreak, back\\slash, \\N and \\. and ünïcode 🙂"
    Prompt.objects.filter(pk=project.prompt_sets.get(name="mixed").prompts.first().pk).update(
        text=text
    )
    run = make_run(project, owner)
    stage = running_stage(run, 3)
    Run.objects.filter(pk=run.pk).update(status="running")
    held = claims.claim(stage.pk, "host/1/1")
    assert held is not None
    return run


def everything(artifacts: Path) -> str:
    """SHA-256 over all rows and all artifact files but the half-written."""
    rows = []
    with connection.cursor() as cursor:
        for table in tables.names():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            rows += [f"{table} {row}" for (row,) in cursor.fetchall()]
    files = [f"{p.relative_to(artifacts)} {p.read_bytes().hex()}" for p in whole_files(artifacts)]
    return hash_of(sorted(rows + files))


def whole_files(artifacts: Path) -> list[Path]:
    return [p for p in artifacts.rglob("*") if p.is_file() and p.suffix != ".aside"]


def make_empty(artifacts: Path) -> None:
    call_command("flush", interactive=False, verbosity=0)
    artifacts.rename(artifacts.with_name("gone"))


def test_an_empty_console_is_afterwards_what_was_backed_up(
    run: Run, artifacts: Path, tmp_path: Path
) -> None:
    before = everything(artifacts)
    made = make_backup(tmp_path / "backup.tar")
    assert (made.projects, made.files, made.outside) == (1, len(whole_files(artifacts)), ())
    make_empty(artifacts)
    assert everything(artifacts) != before
    restored = restore_backup(made.path)
    assert everything(artifacts) == before
    assert (restored.rows, restored.projects) == (made.rows, 1)
    new = Project.objects.create(name="next", slug="next")
    assert new.pk > run.project_id, "numbering goes on after the restored rows"


def test_a_run_in_flight_goes_on_after_the_restore(
    run: Run, artifacts: Path, tmp_path: Path
) -> None:
    made = make_backup(tmp_path)
    make_empty(artifacts)
    restore_backup(made.path)
    stage = Run.objects.get(pk=run.pk).stages.get(position=0)
    Chunk.objects.filter(state="claimed").update(lease_expires_at=Now())
    sweeper.open_expired_chunks()
    again = claims.claim(stage.pk, "host/2/2")
    assert again is not None
    assert (again.index, again.fence) == (0, 2)


def test_a_damaged_backup_changes_nothing(run: Run, artifacts: Path, tmp_path: Path) -> None:
    whole = make_backup(tmp_path / "backup.tar").path.read_bytes()
    before = everything(artifacts)
    source = random.Random(7)
    damaged = tmp_path / "damaged.tar"
    for _ in range(40):
        at = source.randrange(len(whole) - 10_240)  # a tar's last blocks are padding
        flipped = whole[:at] + bytes([whole[at] ^ (1 << source.randrange(8))]) + whole[at + 1 :]
        for content in (flipped, whole[:at]):
            damaged.write_bytes(content)
            try:
                found = archive.verified(damaged)
            except archive.Damaged as error:
                assert str(error).endswith("Nothing was changed; use another backup.")
            else:  # the flip hit padding between two members
                assert found.manifest == archive.verified(tmp_path / "backup.tar").manifest
                assert content == flipped
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(archive.Damaged):
        restore_backup(damaged, overwrite=True)
    assert everything(artifacts) == before


def test_projects_are_replaced_only_when_told_and_never_under_workers(
    run: Run, artifacts: Path, tmp_path: Path
) -> None:
    made = make_backup(tmp_path / "backup.tar")
    before = everything(artifacts)
    Project.objects.filter(pk=run.project_id).update(name="changed since")
    with pytest.raises(MoraError, match=r"holds 1 projects, which the backup would replace"):
        restore_backup(made.path)
    Worker.objects.create(name="gpu@host", queue="gpu", slots=1, heartbeat_at=Now())
    with pytest.raises(MoraError, match=r"^1 workers are at work on this console: stop it"):
        restore_backup(made.path, overwrite=True)
    Worker.objects.all().delete()
    restore_backup(made.path, overwrite=True)
    assert everything(artifacts) == before
    assert (artifacts.with_name("artifacts.before-restore")).is_dir()


def test_a_backup_of_an_older_schema_is_restored_and_migrated(
    run: Run, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = tables.applied()
    older = [m for m in newest if m != max(m for m in newest if m[0] == "alignment")]
    prompts = list(Prompt.objects.order_by("pk").values_list("pk", "text", "key"))
    monkeypatch.setattr(backups, "_outside", lambda: iter(()))
    tables.go_to(older)
    made = make_backup(tmp_path / "backup.tar")
    call_command("migrate", verbosity=0)
    make_empty(artifacts)
    restore_backup(made.path)
    assert tables.applied() == newest
    assert list(Prompt.objects.order_by("pk").values_list("pk", "text", "key")) == prompts


def test_a_backup_of_a_newer_console_is_refused(
    run: Run, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied = tables.applied()
    monkeypatch.setattr(tables, "applied", lambda: [*applied, ["alignment", "9999_later"]])
    made = make_backup(tmp_path / "backup.tar")
    monkeypatch.undo()
    before = everything(artifacts)
    with pytest.raises(MoraError, match=r"newer console \(migration alignment.9999_later"):
        restore_backup(made.path, overwrite=True)
    assert everything(artifacts) == before


def test_what_lies_outside_the_artifacts_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Policy.objects.filter(name="start").update(folder=str(tmp_path / "elsewhere"))
    made = make_backup(tmp_path / "backup.tar")
    assert made.outside == (f"start of sandbox: {tmp_path}/elsewhere",)
    with pytest.raises(MoraError, match=r"backup.tar exists; choose another name"):
        make_backup(tmp_path / "backup.tar")


@pytest.mark.parametrize("at", ["unpack", "commit"])
def test_a_restore_that_breaks_off_leaves_what_was_there(
    run: Run, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    made = make_backup(tmp_path / "early.tar")
    Project.objects.create(name="Later", slug="later")
    make_run(run.project, run.created_by, name="later")
    (artifacts / "later").mkdir()
    before = everything(artifacts)

    def broken(*_: object) -> None:
        raise OperationalError("the database went away")

    monkeypatch.setattr(folders, "unpack" if at == "unpack" else "belong", broken)
    with pytest.raises(OperationalError):
        restore_backup(made.path, overwrite=True)
    assert everything(artifacts) == before and (artifacts / "later").is_dir()
    assert sorted(p.name for p in artifacts.parent.glob("artifacts*")) == ["artifacts"]
    # The backup's smaller numbers are not given to new rows.
    Project.objects.create(name="Another", slug="another")
    make_run(run.project, run.created_by, name="another")


@pytest.mark.parametrize("renamed", [False, True])
def test_a_restore_killed_after_its_commit_is_completed_by_the_next_start(
    run: Run, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    before = everything(artifacts)
    made = make_backup(tmp_path / "early.tar")
    Project.objects.create(name="Later", slug="later")
    (artifacts / "later").mkdir()

    def killed() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folders, "put_in_place", killed)
        with pytest.raises(KeyboardInterrupt):
            restore_backup(made.path, overwrite=True)
    assert (artifacts / "later").is_dir()
    kept = artifacts.with_name("artifacts.before-restore")
    if renamed:
        artifacts.rename(kept)
    call_command("migrate", verbosity=0)
    assert everything(artifacts) == before
    assert (kept / "later").is_dir(), "what was there is kept"
    assert set(artifacts.parent.glob("artifacts*")) == {artifacts, kept}


def test_artifacts_that_cannot_be_moved_are_named_and_moved_later(
    run: Run, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(artifacts)
    made = make_backup(tmp_path / "early.tar")
    (artifacts / "later").mkdir()

    def refused(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refused)
        with pytest.raises(MoraError, match=r"could not be moved .*: Permission denied; put that"):
            restore_backup(made.path, overwrite=True)
    assert (artifacts / "later").is_dir()
    call_command("migrate", verbosity=0)
    assert everything(artifacts) == before
