"""Takes one safeguard out of a worker or sweeper process, to see that the checks notice."""

import subprocess
from pathlib import Path
from typing import Any

BARE = str(Path(__file__).with_name("bare_launcher.py"))
UNIQUE = (
    ("alignment_chunk", "one_chunk"),
    ("alignment_rollout", "one_rollout_an_index"),
    ("alignment_score", "one_score_a_judge"),
)


def fence() -> None:
    """A worker believes that every claim it ever had is still its own."""
    from workers import claims

    claims.hold = lambda held: None
    claims.renew = lambda held: True


def unique() -> None:
    """Two helpers plan a stage at once, and no constraint stops the second (see `drop_unique`)."""
    from workers import stages

    plan = stages.plan

    def twice(stage: Any) -> None:
        plan(stage)
        chunks = list(stage.chunks.all())
        for chunk in chunks:
            chunk.pk = None
        type(chunks[0]).objects.bulk_create(chunks)

    stages.plan = twice


def sweeper() -> None:
    """Nobody opens the claims of the dead again."""
    from workers import sweeper

    sweeper.open_expired_chunks = lambda: None


def group() -> None:
    """A launcher that knows its child only, no group and no descendant."""
    from workers import child

    class Bare:
        PIPE = subprocess.PIPE

        @staticmethod
        def Popen(argv: list[str], **more: Any) -> "subprocess.Popen[str]":
            return subprocess.Popen([argv[0], BARE, *argv[2:]], **more)

    child.subprocess = Bare  # type: ignore[assignment]


TAKE_OUT = {"fence": fence, "unique": unique, "sweeper": sweeper, "group": group}
