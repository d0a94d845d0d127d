"""`manage.py up`: serve the embedded set until Ctrl-C or SIGTERM."""

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from mora_web.embedded.supervisor import SetupError, Supervisor

POLL_SECONDS = 0.2


class Command(BaseCommand):
    help = "Start the database, the web server, the workers and the sweeper, and keep them up."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="port on 127.0.0.1 (default: PORT, or 8000)")

    def handle(self, *args: Any, port: int | None, **options: Any) -> None:
        try:
            with Supervisor.for_console(port=port) as supervisor:
                supervisor.start()
                self.stdout.write(f"MORA serves {supervisor.url} until Ctrl-C.")
                while True:
                    for sentence in supervisor.poll():
                        self.stderr.write(sentence)
                    time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        except SetupError as error:
            sys.exit(str(error))
