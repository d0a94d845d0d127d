"""What a stage found, told from the facts that its workers stored."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Coalesce

from alignment.method.mining import MINED
from alignment.models import Policy, Stage, Status

Facts = Mapping[str, Any]


def note_on(stage: Stage) -> str:
    """Why the stage was skipped, reused, came out empty or failed; else what it found."""
    found = NOTES[stage.kind](stage.facts) if stage.kind in NOTES and stage.facts else ""
    told = "" if stage.empty else _join(found, _used(stage.facts))
    return ". ".join(filter(None, [stage.reason, told]))


def not_sampled(stage: Stage) -> int:
    """How many rollouts were asked for in vain so far, which count as done."""
    failed: int | None = stage.facts.get("failed")
    return sum(stage.facts.get("not_sampled", {}).values()) if failed is None else failed


def _used(facts: Facts) -> str:
    """What was asked of endpoints."""
    usage = facts.get("usage", {})
    requests, retries = usage.get("requests"), usage.get("retries")
    tokens = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    return _join(
        f"{requests:,} requests" if requests else "",
        f"{retries:,} of them again" if retries else "",
        f"{tokens:,} tokens" if tokens else "",
    )


def _sampled(facts: Facts) -> str:
    stopped, held_out = facts.get("stopped_by_length"), facts.get("held_out")
    failed, causes = facts.get("failed"), facts.get("not_sampled", {})
    return _join(
        f"{stopped:,} stopped by length" if stopped else "",
        f"{held_out:,} held out for evaluation" if held_out else "",
        f"by {facts['engine']}" if "engine" in facts else "",
        f"{failed:,} not sampled ({next(iter(causes))})" if failed and causes else "",
    )


def _scored(facts: Facts) -> str:
    lost = {judge: share for judge, share in facts.get("left_out", {}).items() if share}
    return _join(*(f"{share:.0%} without a score by {judge}" for judge, share in lost.items()))


def _mined(facts: Facts) -> str:
    """How many prompts were mined, by which verdicts, and what the others are."""
    verdicts = sorted(facts.get("verdicts", {}).items())
    told = {verdict: f"{n:,} {verdict.replace('_', ' ')}" for verdict, n in verdicts}
    by = _join(*(text for verdict, text in told.items() if verdict in MINED))
    others = (text for verdict, text in told.items() if verdict not in MINED)
    mined = f"{facts['mined']:,} mined" if "mined" in facts else ""
    return _join(f"{mined} ({by})" if mined and by else mined or by, *others)


def _rewritten(facts: Facts) -> str:
    if not {"accepted", "attempts"} <= facts.keys():
        return ""
    refused = sorted(facts.get("refused_by", {}).items(), key=lambda one: -one[1])
    by = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in refused)
    told = f"{facts['accepted']:,} accepted of {facts['attempts']:,} written"
    return f"{told}; refused by {by}" if by else told


def _paired(facts: Facts) -> str:
    gap = facts.get("implied_gap")
    return _join(
        f"{facts['pairs']:,} pairs" if "pairs" in facts else "",
        f"tau and eta ask for a gap of {gap:.3f}" if gap is not None else "",
    )


def _trained(facts: Facts) -> str:
    failed, dropped = facts.get("gates_failed"), facts.get("dropped_by_truncation")
    return _join(
        f"gates failed: {', '.join(failed)}" if failed else "",
        "" if failed or "gates" not in facts else "every gate passed",
        f"{dropped:,} pairs dropped by truncation" if dropped else "",
    )


def _evaluated(facts: Facts) -> str:
    return _join(_sampled(facts), _scored(facts))


def _join(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def untrained_rounds(runs: Iterable[int]) -> dict[int, set[int]]:
    """By run the rounds that ended without a policy of their own: the one before them stands."""
    source = Coalesce(F("reused_from"), F("pk"))
    trainings = Stage.objects.filter(run__in=runs, kind="train", status=Status.SUCCEEDED)
    made = Exists(Policy.objects.filter(stage=OuterRef("source_id")))
    empty = trainings.alias(source_id=source).filter(~made)
    found: dict[int, set[int]] = {}
    for run, number in empty.values_list("run_id", "round"):
        found.setdefault(run, set()).add(number)
    return found


# The filters of pairing in the order applied, which the stored facts do not keep.
FILTERS = {
    "rollouts": "rollouts",
    "valid": "with every score",
    "finished": "not stopped by length",
    "distinct": "distinct texts",
    "pairs": "pairs of them",
    "higher": "chosen higher",
    "margin": "margin large enough",
    "focus": "focus improves",
    "aligned": "nothing aligned falls",
    "consistent": "no dimension falls",
    "chosen_passes": "chosen passes every bar",
    "length": "alike in length",
    "taken": "taken",
}


def yields(stages: Iterable[Stage]) -> list[tuple[str, list[int | None]]]:
    """What each filter of pairing left, one number per pairing stage that ran; filters in the
    order applied."""
    found = [s.facts["yield"] for s in stages if s.kind == "pair" and "yield" in s.facts]
    rows = [(told, [left.get(name) for left in found]) for name, told in FILTERS.items()]
    return [(told, numbers) for told, numbers in rows if any(n is not None for n in numbers)]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A correctness gate of a round's training: the value found and the one expected, each a number
    or a hash, and by how much they may differ."""

    round: int
    name: str
    passed: bool
    value: float | str | None
    expected: float | str
    tolerance: float


def gates(stages: Iterable[Stage]) -> list[Gate]:
    """The gates of every round that trained."""
    trained = (s for s in stages if s.kind == "train")
    return [Gate(round=s.round, **gate) for s in trained for gate in s.facts.get("gates", ())]


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """The collapse gauge of a round's policy: entropy in nats a token, shares of repeated 3-grams
    and of rollouts stopped by length; None where no probe fitted its context."""

    round: int
    policy: str
    entropy: float | None
    repeated_ngrams: float | None
    stopped_by_length: float | None


def gauges(stages: Iterable[Stage]) -> list[Gauge]:
    """Per round that trained, the policy that it trained from, where that was gauged, and then the
    trained one."""
    both = {"collapse_before": "trained from", "collapse": "trained"}
    return [
        Gauge(round=stage.round, policy=policy, **stage.facts[name])
        for stage in stages
        if stage.kind == "train"
        for name, policy in both.items()
        if name in stage.facts
    ]


NOTES: dict[str, Callable[[Facts], str]] = {
    "sample": _sampled,
    "score": _scored,
    "mine": _mined,
    "rewrite": _rewritten,
    "resample": _sampled,
    "rescore": _scored,
    "pair": _paired,
    "train": _trained,
    "evaluate": _evaluated,
}
