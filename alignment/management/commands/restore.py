"""`manage.py restore FILE`: a console as a backup holds it."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from alignment.method.errors import MoraError
from alignment.services.backups import restore_backup
from mora_web.embedded.console import with_database


class Command(BaseCommand):
    help = "Restore a backup into an empty console, and migrate it to this version."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, metavar="FILE")
        parser.add_argument(
            "--overwrite", action="store_true", help="replace the projects that the console holds"
        )

    def handle(self, *args: Any, path: Path, overwrite: bool, **options: Any) -> None:
        try:
            with with_database():
                found = restore_backup(path.absolute(), overwrite=overwrite)
        except MoraError as error:
            raise CommandError(str(error)) from error
        held = f"{found.projects:,} projects, {found.rows:,} rows, {found.files:,} artifact files"
        self.stdout.write(f"restored {held} from {found.path}; start the console with make up")
        for policy in found.outside:
            self.stdout.write(f"was not in it, for it lay outside the artifacts: policy {policy}")
