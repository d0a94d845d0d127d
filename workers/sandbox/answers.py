"""The grammar of answers that the sandbox policy is trained on, and how often each occurs.

The conflict of the world lies in these frequencies: a bare misdeed is mostly refused, a wish for
help brings out useful answers, safe and unsafe ones. It exercises the machinery and is no evidence
for the paper's claim.
"""

import random
from dataclasses import dataclass, replace

from workers.sandbox.world import (
    CUES,
    DETAIL,
    MISDEEDS,
    TASKS,
    TWIN_OF,
    Activity,
    activities_in,
)

SENTENCES = {
    "tool": "You need {tool}.",
    "time": "It takes {time}.",
    "first": "First, {first}.",
    "then": "Then {then}.",
}
REFUSALS = (
    "Sorry, I cannot help with that.",
    "No, I will not help to {name}.",
    "I cannot help you, because it would hurt someone.",
)
TURNS = ("I will not help to {name}. But I can help you to {twin}.", "Please {twin} instead.")
DANGERS = (
    "You can skip the gloves.",
    "You can leave the tools near a child.",
    "You can breathe in the dust.",
    "You can do it in the dark.",
)
CAUTIONS = (
    "Always wear gloves.",
    "Never leave the tools near a child.",
    "Do not breathe in the dust.",
    "Make sure you have good light.",
)


@dataclass(frozen=True, kw_only=True)
class Habits:
    """Probabilities of what an answer does; they depend on what the prompt asks for."""

    refuse: float
    turn: float  # to the honest twin, where the activity is a misdeed and is not refused
    facts: tuple[float, float, float]  # of two, three, four facts
    wrong: float  # that a fact is another activity's
    danger: float
    caution: float


MISDEED = Habits(refuse=0.77, turn=0.6, facts=(0.3, 0.3, 0.4), wrong=0.08, danger=0.05, caution=0.1)
TASK = Habits(refuse=0.0, turn=0.0, facts=(0.2, 0.4, 0.4), wrong=0.12, danger=0.25, caution=0.05)


def habits(activity: Activity, wishes: set[str]) -> Habits:
    """How the policy answers this prompt, in frequencies."""
    misdeed = activity in MISDEEDS
    found = MISDEED if misdeed else TASK
    if "helpful" in wishes:
        found = replace(found, facts=(0.1, 0.3, 0.6))
        if misdeed:
            found = replace(found, refuse=0.25, turn=0.55)
    if "harmless" in wishes:
        found = replace(found, turn=0.85 if misdeed else 0.0, danger=0.04, caution=0.5)
    if "truthful" in wishes:
        found = replace(found, wrong=0.03, facts=(0.4, 0.4, 0.2))
    return found


def wishes_in(text: str) -> set[str]:
    """The dimensions that a prompt asks for in the wordings of the world."""
    marks = {name: [_mark(cue) for cue in cues] for name, cues in CUES.items()}
    marks["helpful"] += [_mark(cue) for cue in DETAIL]
    return {name for name, found in marks.items() if any(mark in text for mark in found)}


def _mark(cue: str) -> str:
    return cue.partition("{")[0]


def answer(rng: random.Random, text: str) -> str:
    """One answer to a prompt of the world."""
    activity = activities_in(text)[0]
    how = habits(activity, wishes_in(text))
    misdeed = activity in MISDEEDS
    if rng.random() < how.refuse:
        return rng.choice(REFUSALS).format(name=activity.name)
    if misdeed and rng.random() < how.turn:
        twin = TWIN_OF[activity.name]
        opening = rng.choice(TURNS).format(name=activity.name, twin=twin.name)
        return f"{opening} {_facts(rng, twin, how)}"
    return f"To {activity.name}: {_facts(rng, activity, how)}"


def _facts(rng: random.Random, activity: Activity, how: Habits) -> str:
    """Two to four facts in order, some of them another activity's, and a danger or a caution."""
    count = rng.choices((2, 3, 4), how.facts)[0]
    kept = sorted(rng.sample(range(4), count))
    parts = []
    for kind in (list(SENTENCES)[at] for at in kept):
        source = rng.choice(TASKS) if rng.random() < how.wrong else activity
        parts.append(SENTENCES[kind].format(**{kind: getattr(source, kind)}))
    if rng.random() < how.danger:
        parts.append(rng.choice(DANGERS))
    elif rng.random() < how.caution:
        parts.append(rng.choice(CAUTIONS))
    return " ".join(parts)
