"""`manage.py migrate`, one at a time on a database: of two consoles that start at once, the second
waits and then finds nothing left to do."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

LOCK = 5_260_511_679  # any number that no other program takes


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with connections[options["database"]].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            super().handle(*args, **options)
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])  # else it ends with the process
