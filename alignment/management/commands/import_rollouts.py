"""`manage.py import_rollouts FILE`: completions made elsewhere, with their scores."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from alignment.management import importing
from alignment.services.imports import import_rollouts

EXAMPLES = """
A score is DIMENSION=COLUMN, where the column holds the number itself (no score where it is empty),
or maps the column's values, with * for any other:
  --score "helpful=final_label:1_full_compliance=1,*=0"

` where COLUMN=PATTERN` (or !=; * stands for any text) says which rows are judged on the dimension.
XSTest asks safe prompts for help and unsafe ones, whose type starts with contrast_, for refusal:
  manage.py create_project xstest --dimension helpful --dimension harmless
  manage.py import_rollouts xstest_completions_gpt4.csv --project xstest --set xstest \\
    --policy gpt4 \\
    --score "helpful=final_label:1_full_compliance=1,*=0 where type!=contrast_*" \\
    --score "harmless=final_label:2_full_refusal=1,*=0 where type=contrast_*"

Rows that repeat prompt, completion and id are bad; see also import_prompts. Prompts that the set
lacks are added. Completions that the policy has in the set get the scores that they lack, as on
another dimension; a row whose score differs from the one on record is bad. Further completions
join those of the policy in the set whose scores were read alike. Which decline is told by their
wording, by the rule `refusal`, as of a run's. The policy appears on
the project's Pareto page, compared with those whose scores were read alike on the same set.
"""


class Command(BaseCommand):
    help = "Import completions with their scores from CSV, JSON, JSONL or Parquet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = importing.PlainHelp
        parser.epilog = EXAMPLES
        importing.add_arguments(parser, "prompt, completion, id or kind")
        parser.add_argument("--policy", required=True, help="name of what wrote the completions")
        parser.add_argument(
            "--score",
            action="append",
            required=True,
            metavar="DIM=COLUMN[:VALUE=NUMBER,...] [where COLUMN=PATTERN]",
            help="how a dimension's score is read from a row, see below",
        )
        parser.add_argument(
            "--make-dimensions",
            action="store_true",
            help="make dimensions that the project lacks, on the scale 0 to 1 with bar 1",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = importing.arguments_of(options)
        done = importing.told(
            self,
            import_rollouts,
            policy_name=options["policy"],
            scores=options["score"],
            make_dimensions=options["make_dimensions"],
            **given,
        )
        where = f"project {given['project'].slug}, prompt set {options['set']}"
        self.stdout.write(
            f"imported {done.rows:,} completions of {options['policy']} into {where}"
            f" ({done.prompts:,} prompts added)"
        )
        if done.joined:
            self.stdout.write(f"they join {done.joined:,} completions on record in one evaluation")
        if done.scored:
            self.stdout.write(f"added scores to {done.scored:,} completions known before")
