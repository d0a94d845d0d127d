"""`manage.py up`: serve the embedded set until Ctrl-C or SIGTERM."""

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from mora_web.embedded.supervisor import SetupError, Supervisor

POLL_SECONDS = 0.2
SERVE_SECONDS = 60.0  # after which it is said that the web does not answer


class Command(BaseCommand):
    help = "Start the database, the web server, the workers and the sweeper, and keep them up."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="port on 127.0.0.1 (default: PORT, or 8000)")

    def handle(self, *args: Any, port: int | None, **options: Any) -> None:
        try:
            with Supervisor.for_console(port=port) as supervisor:
                supervisor.start()
                self.tell_when_serving(supervisor)
                while True:
                    self.poll(supervisor)
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        except SetupError as error:
            sys.exit(str(error))

    def tell_when_serving(self, supervisor: Supervisor) -> None:
        """Say where the console is once it can be reached there, or that it can't be yet."""
        deadline: float | None = time.monotonic() + SERVE_SECONDS
        while not supervisor.is_serving():
            if deadline and time.monotonic() > deadline:
                deadline = None
                self.stderr.write(
                    f"The web does not answer at {supervisor.url} after {SERVE_SECONDS:g} s: look"
                    f" at {supervisor.var / 'log' / 'web.log'}, or wait on."
                )
            self.poll(supervisor)
        self.stdout.write(f"MORA serves {supervisor.url} until Ctrl-C.")

    def poll(self, supervisor: Supervisor) -> None:
        """Let the supervisor look after its processes."""
        for sentence in supervisor.poll():
            self.stderr.write(sentence)
        time.sleep(POLL_SECONDS)
