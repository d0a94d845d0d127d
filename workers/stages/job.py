"""What a stage's functions are given and give back, and where they find their inputs."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, QuerySet, Sum

from alignment.models import Chunk, Policy, Prompt, Stage
from workers.claims import Claim
from workers.slots import Slot

Write = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class ChunkPlan:
    """Prompt ids to work on together; `size` is what the chunk adds to the stage's done."""

    index: int
    items: list[int]
    size: int
    part: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a stage found. `empty` says why the stages after it have nothing to do, if so; `failed`
    why they could not have."""

    empty: str = ""
    failed: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One claimed chunk, the slot whose children do the work, and when to stop."""

    stage: Stage
    claim: Claim
    slot: Slot
    stop: threading.Event

    def call(self, spec: dict[str, Any], name: str, args: dict[str, Any], **more: Any) -> Any:
        """Ask the engine of a spec; raises what `Child.call` raises."""
        return self.slot.child(spec).call(name, args, stop=self.stop, **more)

    def prompts(self) -> list[Prompt]:
        """The chunk's prompts in the order planned."""
        found = Prompt.objects.in_bulk(self.claim.items)
        return [found[item] for item in self.claim.items]


def before(stage: Stage, kind: str) -> Stage:
    """The stage of a kind that the same round has before this one."""
    found = Stage.objects.filter(
        run=stage.run_id, round=stage.round, kind=kind, position__lt=stage.position
    )
    return found.select_related("reused_from").get()


def policy_before(stage: Stage) -> Policy:
    """The policy that the run holds when the stage starts: the last one trained, or its start."""
    earlier = stage.run.stages.filter(kind="train", position__lt=stage.position)
    for train in earlier.select_related("reused_from").order_by("-position"):
        if policy := Policy.objects.filter(stage=train.source).first():
            return policy
    return Policy.objects.get(project=stage.run.project_id, name=stage.run.config["policy"])


def add_counts(stage: Stage, name: str, amounts: Mapping[str, int]) -> None:
    """Add to the counts that the stage's facts hold under a name; call it while writing."""
    if not amounts:
        return
    known = Stage.objects.select_for_update().get(pk=stage.pk)
    counts = Counter(known.facts.get(name, {}))
    counts.update(amounts)
    known.facts[name] = dict(counts)
    known.save(update_fields=("facts",))


def reopen(stage: Stage, chunks: "QuerySet[Chunk]") -> None:
    """Open done chunks of a stage for a retry, which does their work once more."""
    size = chunks.aggregate(size=Sum("size"))["size"] or 0
    chunks.update(state=Chunk.State.OPEN, attempts=0, error="", done_at=None)
    Stage.objects.filter(pk=stage.pk).update(done=F("done") - size)


def cut(items: Sequence[int], per_chunk: int) -> list[list[int]]:
    """Items in chunks of at most `per_chunk`, in order."""
    return [list(items[i : i + per_chunk]) for i in range(0, len(items), per_chunk)]
