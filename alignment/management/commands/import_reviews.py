"""`manage.py import_reviews FILE`: what reviewers decided, or rated, elsewhere."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from alignment.management import importing
from alignment.services.imported_ratings import import_ratings
from alignment.services.imported_reviews import import_reviews

EXAMPLES = """
With --run: decisions on the rewrites of the run's open review. Columns: rewrite_key, or original
and rewrite; reviewer; decision (approve, edit, reject); text of an edit; reason of a rejection;
words; and ratings from 1 to 5 under their names. A file of export_reviews is read as it is.
  manage.py import_reviews decisions.jsonl --project demo --run first

With --rating: nominal values that people gave to completions imported before, one column a person.
  manage.py import_reviews xstest_completions_gpt4.csv --project xstest --set xstest \\
    --policy gpt4 --rating compliance=annotation_1 --rating compliance=annotation_2

Who decided is the member of that user name, else a name without a login. Bad rows are
listed with their line and reason.
"""


class Command(BaseCommand):
    help = "Import reviews of rewrites, or ratings of completions, made elsewhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = importing.PlainHelp
        parser.epilog = EXAMPLES
        parser.add_argument("file", type=Path, help="CSV, JSON (an array), JSONL or Parquet")
        parser.add_argument("--project", required=True, help="its slug or name")
        importing.add_row_arguments(parser, "reviewer, decision and so on")
        parser.add_argument("--run", help="name of the run whose rewrites were reviewed")
        parser.add_argument("--set", help="prompt set of the completions that were rated")
        parser.add_argument("--policy", help="what wrote the completions")
        parser.add_argument(
            "--rating",
            action="append",
            default=[],
            metavar="QUESTION=COLUMN",
            help="a person's column of values",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = importing.project_named(options["project"])
        common = {
            "path": options["file"],
            "columns": importing.columns_of(options),
            "by": None,
            "skip_bad": options["skip_bad"],
            "limit": options["limit"],
        }
        if options["rating"]:
            if options["run"] or not (options["set"] and options["policy"]):
                raise CommandError("ratings need --set and --policy, and no --run")
            done = importing.told(
                self,
                import_ratings,
                project=project,
                set_name=options["set"],
                policy_name=options["policy"],
                ratings=options["rating"],
                **common,
            )
            what = f"{done.rows:,} ratings of {options['policy']}'s completions"
        else:
            run = project.runs.filter(name=options["run"]).first()
            if run is None:
                raise CommandError(f"the project has no run {options['run']!r}; name it by --run")
            done = importing.told(self, import_reviews, run=run, **common)
            what = f"{done.rows:,} reviews into run {run.name}"
        self.stdout.write(f"imported {what} of project {project.slug}")
