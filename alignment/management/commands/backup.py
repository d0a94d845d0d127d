"""`manage.py backup FILE|FOLDER`: the whole console in one file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from alignment.method.errors import MoraError
from alignment.services.backups import make_backup
from mora_web.embedded.console import with_database


class Command(BaseCommand):
    help = "Write database and artifacts to one file; the console may be at work."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, metavar="FILE|FOLDER")

    def handle(self, *args: Any, path: Path, **options: Any) -> None:
        try:
            with with_database():
                made = make_backup(path.absolute())
        except MoraError as error:
            raise CommandError(str(error)) from error
        held = f"{made.projects:,} projects, {made.rows:,} rows, {made.files:,} artifact files"
        self.stdout.write(f"backed up {held} ({made.size / 2**20:,.1f} MiB) to {made.path}")
        for policy in made.outside:
            self.stdout.write(f"not in it, for it lies outside the artifacts: policy {policy}")
