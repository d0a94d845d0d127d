"""`manage.py import_prompts FILE`: prompts from a file into a set."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from alignment.management import importing
from alignment.services.imports import import_prompts

EXAMPLES = """
Examples:
  manage.py import_prompts xstest_prompts.csv --project demo --set xstest
  manage.py import_prompts advbench.csv --project demo --set advbench --column prompt=goal

Columns that are none of these are kept with the prompt. Nothing is imported when a row is bad,
unless --skip-bad: an empty prompt, one that repeats another or is in the set already, a broken
line, bad UTF-8, a NUL character, a byte-order mark other than at the start, a field over 1 MiB.
"""


class Command(BaseCommand):
    help = "Import prompts from CSV, JSON, JSONL or Parquet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = importing.PlainHelp
        parser.epilog = EXAMPLES
        importing.add_arguments(parser, "prompt, id or kind")

    def handle(self, *args: Any, **options: Any) -> None:
        given = importing.arguments_of(options)
        done = importing.told(self, import_prompts, **given)
        where = f"set {options['set']} of project {given['project'].slug}"
        self.stdout.write(f"imported {done.rows:,} prompts into {where}")
