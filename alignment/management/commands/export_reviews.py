"""`manage.py export_reviews FILE`: everything that reviewers said, as JSONL or Parquet."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from alignment.management.importing import project_named
from alignment.queries.review_exports import as_json_lines, as_parquet, export_rows

FORMATS = {".jsonl": as_json_lines, ".parquet": as_parquet}


class Command(BaseCommand):
    help = "Write every review of a project to a file, withdrawn ones too."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="to write; its name ends in .jsonl or .parquet")
        parser.add_argument("--project", required=True, help="its slug or name")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if path.suffix not in FORMATS:
            raise CommandError(f"{path}: the name must end in {' or '.join(FORMATS)}")
        rows = 0

        def counted() -> Any:
            nonlocal rows
            for part in export_rows(project_named(options["project"]), None):
                rows += len(part)
                yield part

        try:
            with path.open("wb") as file:
                for data in FORMATS[path.suffix](counted()):
                    file.write(data)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from error
        self.stdout.write(f"wrote {rows:,} reviews to {path}")
