"""What the import commands share: their arguments, and how they tell what happened."""

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from alignment.method.errors import MoraError
from alignment.models import Project
from alignment.services.imports import BadRows, Imported


class PlainHelp(RawDescriptionHelpFormatter):
    """Keeps the line breaks of a command's examples."""


def _role(text: str) -> tuple[str, str]:
    role, equals, column = text.partition("=")
    if not (role and equals and column):
        raise ArgumentTypeError(f"{text!r} is not ROLE=COLUMN")
    return role, column


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def add_arguments(parser: CommandParser, roles: str) -> None:
    parser.add_argument("file", type=Path, help="CSV, JSON (an array), JSONL or Parquet")
    parser.add_argument("--project", required=True, help="its slug or name")
    parser.add_argument("--set", required=True, help="prompt set, made where absent")
    add_row_arguments(parser, roles)


def add_row_arguments(parser: CommandParser, roles: str) -> None:
    """Which columns are what, and what to do with bad rows."""
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        type=_role,
        metavar="ROLE=COLUMN",
        help=f"which column is the {roles}; guessed where not given",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="import the good rows and list the others"
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="read the first N rows only")


def arguments_of(options: dict[str, Any]) -> dict[str, Any]:
    """What the imports of prompts and of completions take alike; raises CommandError."""
    return {
        "project": project_named(options["project"]),
        "set_name": options["set"],
        "path": options["file"],
        "columns": columns_of(options),
        "by": None,
        "skip_bad": options["skip_bad"],
        "limit": options["limit"],
    }


def columns_of(options: dict[str, Any]) -> dict[str, str]:
    """The column of each role; raises CommandError for a role that has two."""
    given = options["column"]
    roles = [role for role, _ in given]
    for role in roles:
        if roles.count(role) > 1:
            raise CommandError(f"--column {role}= is given twice; name one column for it")
    return dict(given)


def project_named(name: str) -> Project:
    """The project of this slug, else of this name; raises CommandError for none or several."""
    found = Project.objects.filter(slug=name)[:1] or Project.objects.filter(name=name)[:2]
    if len(found) != 1:
        known = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise CommandError(
            f"no project {name!r}; there is {known or 'none'} (manage.py create_project makes one)"
        )
    return found[0]


def told(command: BaseCommand, verb: Callable[..., Imported], **arguments: Any) -> Imported:
    """Run the import and list the problems of its rows; raises CommandError where it failed."""
    try:
        done = verb(**arguments)
    except BadRows as error:
        _list(command, error.problems.lines())
        raise CommandError(f"{error} (--skip-bad)") from error
    except MoraError as error:
        raise CommandError(str(error)) from error
    except OperationalError as error:
        cause = str(error).partition("\n")[0]
        raise CommandError(f"the database broke the import off ({cause}); run it again") from error
    _list(command, done.problems.lines())
    for note in done.notes:
        command.stdout.write(note)
    if done.problems.total:
        rows = "row" if done.problems.total == 1 else "rows"
        command.stdout.write(f"left out {done.problems.total:,} bad {rows}")
    return done


def _list(command: BaseCommand, lines: Any) -> None:
    for line in lines:
        command.stderr.write(line)
