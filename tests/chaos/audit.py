"""The audit of a run by SQL: what its chunks went through, and what its rows are at the end."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from alignment.models import Policy, Run
from workers.engines.folders import fingerprint

SQL = Path(__file__).with_name("audit.sql")
MOVES = """
SELECT m.chunk, m.fence, m.owner, m.before, m.after, extract(epoch FROM m.at)::float8
FROM chaos_move m JOIN alignment_chunk c ON c.id = m.chunk
JOIN alignment_stage s ON s.id = c.stage_id WHERE s.run_id = %s ORDER BY m.chunk, m.at
"""
# Natural keys that occur more than once, each a list of rows too many. Constraints forbid them;
# the audit does not rely on that.
DOUBLED = {
    "chunks": "SELECT stage_id, part, index FROM alignment_chunk WHERE stage_id = ANY(%s)",
    "rollouts": "SELECT r.sampling_id, r.prompt_id, r.index FROM alignment_rollout r"
    " JOIN alignment_sampling s ON s.id = r.sampling_id WHERE s.stage_id = ANY(%s)",
    "scores": "SELECT c.rollout_id, c.judge_id, c.judge_version FROM alignment_score c"
    " JOIN alignment_rollout r ON r.id = c.rollout_id"
    " JOIN alignment_sampling s ON s.id = r.sampling_id WHERE s.stage_id = ANY(%s)",
    "verdicts": "SELECT stage_id, prompt_id FROM alignment_verdict WHERE stage_id = ANY(%s)",
    "attempts": "SELECT stage_id, parent_id, index FROM alignment_rewriteattempt"
    " WHERE stage_id = ANY(%s)",
    "pairs": "SELECT stage_id, chosen_id, rejected_id FROM alignment_pair WHERE stage_id = ANY(%s)",
    "steps": "SELECT stage_id, step FROM alignment_trainingstep WHERE stage_id = ANY(%s)",
    "reviews": "SELECT v.item_id, v.reviewer_id, v.adjudicates FROM alignment_review v"
    " JOIN alignment_reviewitem i ON i.id = v.item_id WHERE i.stage_id = ANY(%s)"
    " AND v.withdrawn_at IS NULL",
    "policies": "SELECT stage_id FROM alignment_policy WHERE stage_id = ANY(%s)",
}


@dataclass(kw_only=True)
class Held:
    """One claim on a chunk: from when, until when it was held, how it ended, when the next came."""

    chunk: int
    fence: int
    owner: str
    since: float
    until: float = float("inf")
    ended: str = "claimed"
    again: float | None = None

    @property
    def process(self) -> int:
        return int(self.owner.split("/")[1])


def install() -> None:
    """Put the triggers in, in a database that is migrated and that no run works in."""
    with connection.cursor() as cursor:
        cursor.execute(SQL.read_text())


def remove() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DROP FUNCTION IF EXISTS chaos_note_move, chaos_note_write CASCADE;"
            "DROP TABLE IF EXISTS chaos_move, chaos_write"
        )


def claims_of(run: Run) -> list[Held]:
    """Every claim on the run's chunks, oldest first a chunk."""
    with connection.cursor() as cursor:
        cursor.execute(MOVES, [run.pk])
        moves = cursor.fetchall()
    found: list[Held] = []
    for chunk, fence, owner, before, after, at in moves:
        last = found[-1] if found and found[-1].chunk == chunk else None
        if after == "claimed":
            if last is not None:
                last.again = at
                if before == "claimed":  # without having been opened: two hold it
                    last.until, last.ended = at, "robbed"
            found.append(Held(chunk=chunk, fence=fence, owner=owner, since=at))
        elif last is not None:
            last.until, last.ended = at, after
    return found


def stale_writes(run: Run) -> int:
    """Batches of rows written, and chunks closed, under a claim that no longer held."""
    stages = list(run.stages.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM chaos_write WHERE stale")
        (writes,) = cursor.fetchone()
        cursor.execute(
            "SELECT count(*) FROM chaos_move m JOIN alignment_chunk c ON c.id = m.chunk"
            " WHERE m.after = 'done' AND m.before <> 'claimed' AND c.stage_id = ANY(%s)",
            [stages],
        )
        (closes,) = cursor.fetchone()
    return int(writes) + int(closes)


def doubled(run: Run) -> dict[str, int]:
    """Rows too many, by what they are; empty when every natural key is there once."""
    stages = list(run.stages.values_list("pk", flat=True))
    found = {}
    with connection.cursor() as cursor:
        for name, keys in DOUBLED.items():
            cursor.execute(
                f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) n FROM ({keys}) k"
                " GROUP BY k.*) g",
                [stages],
            )
            (rows,) = cursor.fetchone()
            if rows:
                found[name] = int(rows)
    return found


def damaged_artifacts(run: Run) -> list[str]:
    """Folders of the run's policies whose bytes are not what their row says, and what was left
    half-made beside them."""
    found = []
    for policy in Policy.objects.filter(stage__run=run):
        for folder, digest in (
            (policy.folder, policy.sha256),
            (policy.adapter, policy.adapter_sha256),
        ):
            path = Path(settings.ARTIFACTS) / folder
            if not path.is_dir() or fingerprint(path) != digest:
                found.append(folder)
    runs = Path(settings.ARTIFACTS) / "runs" / str(run.pk)
    return found + [str(path) for path in runs.rglob("*.aside")]
