"""`manage.py create_api_key USER NAME`: a key for scripts, printed once."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from alignment.method.errors import MoraError
from alignment.services.keys import create_api_key


class Command(BaseCommand):
    help = "Make an API key of a user and print it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="who acts with the key")
        parser.add_argument("name", help="what the key is for")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"no active user is called {options['user']!r}")
        try:
            _, text = create_api_key(user=user, name=options["name"])
        except MoraError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(text)
