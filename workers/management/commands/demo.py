"""`manage.py demo`: serve the console, run MORA once in the sandbox, and show what came out."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from alignment.models import ENDED, Run, Status
from alignment.queries.demo import demo_summary
from mora_web.embedded.supervisor import SetupError, Supervisor
from workers import demo
from workers.table import table_of

POLL_SECONDS = 0.2
MEASURE_SECONDS = 1.0
TELL_SECONDS = 5.0


class Command(BaseCommand):
    help = "Serve the console, run MORA once in the sandbox, and show what came out."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="seed of the run (default 1)")
        parser.add_argument("--exit-when-done", action="store_true", help="do not serve on")
        parser.add_argument("--json", type=Path, help="write the table to this file as JSON")
        parser.add_argument("--port", type=int, help="port on 127.0.0.1 (default: PORT, or 8000)")

    def handle(
        self,
        *_: Any,
        seed: int,
        exit_when_done: bool,
        json: Path | None,
        port: int | None,
        **__: Any,
    ) -> None:
        if not 0 <= seed < 2**63:
            raise CommandError("--seed takes a whole number from 0 up")
        if json is not None:
            try:
                json.open("a").close()
            except OSError as error:
                raise CommandError(f"cannot write {json}: {error.strerror}") from error
        serve_on = sys.stdout.isatty() and not exit_when_done
        try:
            with Supervisor.for_console(port=port) as supervisor:
                self.stdout.write(f"The console will be at {supervisor.url}")
                self.supervisor = supervisor
                self.peak_rss, self.measured = 0, 0.0
                supervisor.start()
                run = self.prepare(seed)
                self.follow(run)
                self.show(run, json)
                if serve_on:
                    self.stdout.write(f"Serving {supervisor.url} until Ctrl-C.")
                while serve_on:
                    self.poll()
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        except SetupError as error:
            sys.exit(str(error))

    def poll(self) -> None:
        """Let the supervisor look after its processes; now and then see what memory they take."""
        for sentence in self.supervisor.poll():
            self.stderr.write(sentence)
        if time.monotonic() - self.measured > MEASURE_SECONDS:
            self.peak_rss = max(self.peak_rss, sum(map(resident, self.supervisor.pids())))
            self.measured = time.monotonic()
        time.sleep(POLL_SECONDS)

    def prepare(self, seed: int) -> Run:
        """Make the project, its user and policy where missing, and start the run."""
        user, password = demo.make_user()
        if password:
            self.stdout.write(f"Sign in as demo with the password {password} (shown once)")
        else:
            self.stdout.write("Sign in as demo; manage.py changepassword demo sets a new password")
        project = demo.make_project()
        demo.make_policy(project, self.poll, self.stdout.write)
        run = demo.run_of(project, seed, user)
        self.stdout.write(f"Run {run.name}: {self.supervisor.url}projects/sandbox/runs/{run.pk}/")
        return run

    def follow(self, run: Run) -> None:
        """Tell of each stage as it ends, and of the running one now and then."""
        told: set[int] = set()
        last = time.monotonic()
        while True:
            self.poll()
            try:
                run.refresh_from_db()
                stages = list(run.stages.all())
            except DatabaseError:
                connection.close()
                continue
            for stage in stages:
                ended = stage.status in ENDED and stage.pk not in told
                now = stage.status == Status.RUNNING and time.monotonic() - last > TELL_SECONDS
                if ended or now:
                    last = time.monotonic()
                    self.stdout.write(line_of(stage))
                if ended:
                    told.add(stage.pk)
            if run.status in ENDED:
                return

    def show(self, run: Run, path: Path | None) -> None:
        if run.status != Status.SUCCEEDED:
            failed = run.stages.filter(status=run.status).order_by("position").first()
            cause = f": {failed.kind} of round {failed.round}: {failed.reason}" if failed else ""
            raise CommandError(f"the run {run.name} has {run.status}{cause}")
        summary = {**demo_summary(run), "peak_rss_mib": round(self.peak_rss / 2**20)}
        self.stdout.write(table_of(summary))
        if path is not None:
            path.write_text(json.dumps(summary, indent=2) + "\n")


def line_of(stage: Any) -> str:
    """One line on a stage: where, what, how far, how long, and why if there is a reason."""
    place = f"round {stage.round}" if stage.round else "start"
    count = f"{stage.done:,} of {stage.total:,} {stage.unit}" if stage.total else ""
    took = ""
    if stage.started_at and stage.ended_at:
        took = f"{(stage.ended_at - stage.started_at).total_seconds():.1f} s"
    return (
        f"{place:8} {stage.kind:9} {stage.status:10} {count:24} {took:>8}  {stage.reason}".rstrip()
    )


def resident(pid: int) -> int:
    """Resident memory of a process in bytes; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * 4096
