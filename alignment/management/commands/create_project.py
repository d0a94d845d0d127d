"""`manage.py create_project NAME`: a project with its dimensions, to import into."""

from argparse import ArgumentTypeError
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from alignment.method.errors import MoraError
from alignment.method.records import Dimension
from alignment.services.projects import create_project


def dimension(text: str) -> Dimension:
    """NAME, or NAME:LOW:HIGH:BAR; a scale written from high to low is one where low is best."""
    name, *numbers = text.split(":")
    try:
        first, last, bar = map(float, numbers) if numbers else (0.0, 1.0, 1.0)
        return Dimension(
            name=name,
            scale_low=min(first, last),
            scale_high=max(first, last),
            bar=bar,
            higher_is_better=first <= last,
        )
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not NAME:WORST:BEST:BAR ({error})") from error


class Command(BaseCommand):
    help = "Make a project with its dimensions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--dimension",
            action="append",
            default=[],
            type=dimension,
            metavar="NAME:WORST:BEST:BAR",
            help="a reward axis: its scale from worst to best and the bar that passes, in the"
            " judge's units, such as helpful:1:5:4 or harm:1:0:0.2; NAME alone is NAME:0:1:1",
        )
        parser.add_argument("--owner", metavar="USER", help="who owns it; superusers see it anyway")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = None
        if name := options["owner"]:
            owner = User.objects.filter(username=name).first()
            if owner is None:
                raise CommandError(f"no user is called {name!r}")
        try:
            project = create_project(
                name=options["name"], dimensions=options["dimension"], owner=owner
            )
        except MoraError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"made project {project.slug}")
