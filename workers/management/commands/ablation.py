"""`manage.py ablation`: arms at equal budgets on the sandbox, over seeds, and what came out."""

import json
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from alignment.method.errors import MoraError
from alignment.models import Project, Run, Stage, Status
from mora_web.embedded.supervisor import SetupError, Supervisor
from workers import ablation, demo
from workers.ablation import FULL, SMALL, Size
from workers.ablation_report import report
from workers.ablation_table import write_table

POLL_SECONDS = 0.5


class Command(BaseCommand):
    help = "Compare MORA with its ablations on the sandbox; killed, it goes on where it was."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        base = Path(settings.BASE_DIR)
        results, doc = base / "bench" / "results" / "ablation.json", base / "docs" / "ablation.md"
        parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to this (default 5)")
        parser.add_argument("--small", action="store_true", help="few prompts and steps: a trial")
        parser.add_argument("--json", type=Path, default=results, help="where the figures go")
        parser.add_argument("--doc", type=Path, default=doc, help="whose generated part is written")
        parser.add_argument("--port", type=int, help="port on 127.0.0.1 (default: PORT, or 8000)")

    def handle(
        self, *_: Any, seeds: int, small: bool, json: Path, doc: Path, port: int | None, **__: Any
    ) -> None:
        if seeds < 1:
            raise CommandError("--seeds takes a whole number from 1 up")
        size = SMALL if small else FULL
        try:
            with Supervisor.for_console(port=port) as supervisor:
                self.supervisor = supervisor
                supervisor.start()
                user, _password = demo.make_user()
                project = demo.make_project(ablation.SLUG, ablation.NAME, ablation.PROMPT_SETS)
                demo.make_policy(project, self.poll, self.stdout.write)
                found = {}
                for seed in range(1, seeds + 1):
                    found[seed] = self.run_seed(project, seed, size, user)
                    self.write(report(found, size), json, doc)
        except KeyboardInterrupt:
            self.stdout.write("Stopped; started again it goes on where it was.")
        except (SetupError, MoraError) as error:
            raise CommandError(str(error)) from error

    def run_seed(self, project: Project, seed: int, size: Size, by: User) -> dict[str, Run]:
        """All arms of a seed to their end."""
        began = time.monotonic()
        found = ablation.runs_of(project, seed, size, by)
        told: set[int] = set()
        while True:
            self.poll()
            try:
                ended = ablation.go_on(found, by)
                self.tell(found, told)
            except DatabaseError:
                connection.close()
                continue
            if ended:
                self.stdout.write(f"seed {seed}: {time.monotonic() - began:.0f} s")
                return found

    def tell(self, found: dict[str, Run], told: set[int]) -> None:
        """A line for each stage that has ended."""
        done = Stage.objects.filter(run__in=found.values(), status=Status.SUCCEEDED)
        for stage in done.exclude(pk__in=told).select_related("run").order_by("ended_at"):
            told.add(stage.pk)
            reason = f": {stage.reason}" if stage.reason else ""
            self.stdout.write(f"{stage.run.name}, round {stage.round} {stage.kind}{reason}")

    def poll(self) -> None:
        for sentence in self.supervisor.poll():
            self.stderr.write(sentence)
        time.sleep(POLL_SECONDS)

    def write(self, found: dict[str, Any], path: Path, doc: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
        write_table(doc, found)
        ranking = found["rounds"][-1]["hypervolume_ranking"]
        self.stdout.write(f"wrote {path} and {doc}: {', '.join(ranking)}")
