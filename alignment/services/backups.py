"""Make a backup of the whole console, and restore one.

A backup holds the database as of one moment, and the artifacts as they are a little later: a
policy's folder is there before its row and never changes. A run in flight is in it as it stands;
after a restore its leases have run out and it goes on.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from alignment.backup import archive, artifacts, tables
from alignment.method.errors import MoraError
from alignment.models import Policy, Project, Worker

WORKER_ALIVE = timedelta(seconds=6)
# Half-written folders, and what libraries of a training that is under way put aside.
PASSED_OVER = ("scratch",)


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a backup holds; outside: policies whose folders lie outside the artifacts."""

    path: Path
    projects: int
    rows: int
    files: int
    size: int
    outside: tuple[str, ...]


def make_backup(path: Path) -> Backup:
    """Write a backup to a file, or into a folder under a name with the time.

    Raises MoraError when the file exists or cannot be written.
    """
    if path.is_dir():
        path = path / f"mora-{timezone.now():%Y%m%d-%H%M%S}.tar"
    if path.exists():
        raise MoraError(f"{path} exists; choose another name, or remove it first")
    try:
        with archive.new_archive(path) as writer:
            facts = _add_tables(writer)
            files = _add_artifacts(writer)
            writer.finish(facts)
    except OSError as error:
        reason = error.strerror or error
        raise MoraError(f"cannot write {path}: {reason}; nothing was kept") from error
    return _told(path, facts, files)


def _add_tables(writer: archive.Writer) -> dict[str, object]:
    found: dict[str, object] = {}
    with tables.snapshot():
        for table in tables.names():
            with tempfile.TemporaryFile() as spool:
                columns, rows = tables.copy_out(table, spool)
                size = spool.tell()
                spool.seek(0)
                writer.add(f"tables/{table}", spool, size)
            found[table] = {"columns": columns, "rows": rows}
        return {
            "made_at": timezone.now().isoformat(),
            "projects": Project.objects.count(),
            "migrations": tables.applied(),
            "tables": found,
            "outside": sorted(_outside()),
        }


def _outside() -> Iterator[str]:
    for policy in Policy.objects.exclude(folder="").select_related("project"):
        if not policy.path.resolve().is_relative_to(settings.ARTIFACTS):
            yield f"{policy.name} of {policy.project.slug}: {policy.path}"


def _add_artifacts(writer: archive.Writer) -> int:
    files = 0
    for path in sorted(settings.ARTIFACTS.rglob("*")):
        name = path.relative_to(settings.ARTIFACTS)
        aside = any(part.endswith((".aside", ".old")) or part in PASSED_OVER for part in name.parts)
        if aside or path.is_symlink() or not path.is_file():
            continue
        try:
            file = path.open("rb")
        except FileNotFoundError:  # an old checkpoint went in the meantime
            continue
        with file:
            writer.add(f"artifacts/{name}", file, os.fstat(file.fileno()).st_size)
        files += 1
    return files


def restore_backup(path: Path, *, overwrite: bool = False) -> Backup:
    """Put back what a backup holds, database and artifacts, and migrate it to this version.

    Every byte of the file is checked first. Raises archive.Damaged; or MoraError where workers
    are at work, or the console holds projects and `overwrite` does not allow their loss. After
    an error the console holds what it held, or nothing where the schema had to change; killed
    right after its commit, it is completed by the next migrate.
    """
    found = archive.verified(path)
    wanted = found.manifest["migrations"]
    tables.check_known(wanted)
    call_command("migrate", verbosity=0)
    _check_target(overwrite)
    artifacts.forget()
    try:
        mark = artifacts.unpack(found.members("artifacts"))
        if tables.applied() != wanted:
            with transaction.atomic():
                tables.empty()
            tables.go_to(wanted)
        with transaction.atomic():
            _check_idle()
            _fill(found)
            artifacts.belong(mark)
    except BaseException:
        with suppress(OperationalError, InterfaceError):  # away: then the next restore forgets it
            artifacts.forget()
        raise
    artifacts.put_in_place()
    call_command("migrate", verbosity=0)
    return _told(path, found.manifest, sum(1 for n in found.manifest["members"] if n[:4] == "arti"))


def _check_target(overwrite: bool) -> None:
    _check_idle()
    if settings.ARTIFACTS.is_mount():
        raise MoraError(
            f"{settings.ARTIFACTS} is a mount point, which cannot be replaced: let MORA_ARTIFACTS"
            " name a folder in it"
        )
    projects = Project.objects.count()
    if projects and not overwrite:
        raise MoraError(
            f"this console holds {projects} projects, which the backup would replace: restore into"
            " an empty one, or give them up with --overwrite"
        )


def _check_idle() -> None:
    alive = Worker.objects.filter(heartbeat_at__gt=Now() - WORKER_ALIVE).count()
    if alive:
        raise MoraError(
            f"{alive} workers are at work on this console: stop it (Ctrl-C), then restore again"
        )


def _fill(found: archive.Archive) -> None:
    """Replace the rows of every table. The constraints between tables are checked at the end."""
    described = found.manifest["tables"]
    tables.empty()
    for table, content in found.members("tables"):
        tables.copy_in(table, described[table]["columns"], content)
    tables.count_on()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _told(path: Path, facts: dict[str, object], files: int) -> Backup:
    held: dict[str, dict[str, int]] = facts["tables"]  # type: ignore[assignment]
    outside: list[str] = facts["outside"]  # type: ignore[assignment]
    return Backup(
        path=path,
        projects=int(facts["projects"]),  # type: ignore[call-overload]
        rows=sum(table["rows"] for table in held.values()),
        files=files,
        size=path.stat().st_size,
        outside=tuple(outside),
    )
