"""Loaded into every process of a chaos run: tells the database under which claim a transaction
writes, and a file which engine process worked under which claim. SABOTAGE takes a safeguard out.
"""

import os
from typing import Any

from django.apps import AppConfig
from django.db import connection


class Witness(AppConfig):
    name = "tests.chaos.witness"

    def ready(self) -> None:
        from tests.chaos import sabotage

        for safeguard in filter(None, os.environ.get("SABOTAGE", "").split(",")):
            sabotage.TAKE_OUT[safeguard]()
        announce_claims()
        note_engines()


def announce_claims() -> None:
    """Every transaction that holds a claim says so to the audit's triggers."""
    from workers import claims

    hold = claims.hold

    def announced(held: claims.Claim) -> None:
        hold(held)
        with connection.cursor() as cursor:
            claim = f"{held.chunk}/{held.fence}"
            cursor.execute("SELECT set_config('chaos.claim', %s, true)", [claim])

    claims.hold = announced


def note_engines() -> None:
    """One line an engine call in VAR/engines: chunk, fence, process id of the launcher."""
    from django.conf import settings

    from workers.stages.job import Job

    call = Job.call

    def noted(self: Job, spec: dict[str, Any], *args: Any, **more: Any) -> Any:
        launcher = self.slot.child(spec)._process.pid
        with (settings.VAR / "engines").open("a") as file:
            file.write(f"{self.claim.chunk} {self.claim.fence} {launcher}\n")
        return call(self, spec, *args, **more)

    Job.call = noted  # type: ignore[method-assign]
