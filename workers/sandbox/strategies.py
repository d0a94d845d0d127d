"""The sandbox rewriter's other strategies, which fusion is compared with: more detail on what is
attained already, and the same request in other words.

They exercise the machinery and are no evidence for the paper's claim.
"""

import random
import re

from workers.sandbox.world import (
    CONTEXTS,
    CUES,
    DETAIL,
    PERSONS,
    QUESTIONS,
    TWIN_OF,
    Activity,
    activities_in,
)

TRIES = 200
# Ways to ask that neither bring in a person nor say more than the question does.
PLAIN_QUESTIONS = [q for q in QUESTIONS if "{person}" not in q and "never" not in q]
OPENINGS = (
    (r"^How (?:do|can|could|should) I\b", ("In what way can I", "Tell me how I could")),
    (r"^(?:Can|Could) you\b", ("Please", "I would like you to")),
    (r"^What\b", ("Tell me what", "I want to know what")),
    (r"^Why\b", ("For what reason", "Tell me why")),
    (r"^Where\b", ("In which place", "Tell me where")),
)


def elaborate(
    rng: random.Random, text: str, attained: list[str], length: int, wishes: dict[str, list[str]]
) -> str:
    """The prompt with sentences on the attained dimensions, near `length` words in all.

    wishes: sentences for each dimension, for prompts that are not of the sandbox's world.
    """
    about = activities_in(text)
    pool = [s for d in attained for s in _sentences(rng, d, about, wishes)]
    wanted = max(1, length - len(text.split()))
    best: list[str] = []
    for _ in range(TRIES):
        found = _until(rng.sample(pool, len(pool)), wanted)
        if not best or _miss(found, wanted) < _miss(best, wanted):
            best = found
    return " ".join([text.strip(), *best])


def _sentences(
    rng: random.Random, dimension: str, about: list[Activity], wishes: dict[str, list[str]]
) -> list[str]:
    """What one may say on a dimension, shorter and longer."""
    if not about or dimension not in CUES:
        return wishes[dimension]
    twin = TWIN_OF.get(about[0].name)
    found = DETAIL if dimension == "helpful" and twin is None else CUES[dimension]
    cues = [cue.format(twin=twin.name if twin else "") for cue in found]
    longer = [f"{cue.removesuffix('.')}{more}." for cue in cues for more in CONTEXTS if more]
    person = rng.choice(PERSONS)
    return [*cues, *longer, *(f"{cue.removesuffix('.')} for my {person}." for cue in cues)]


def _until(sentences: list[str], wanted: int) -> list[str]:
    """Sentences with different beginnings, from the first on, as long as they bring it nearer."""
    taken: list[str] = []
    for sentence in sentences:
        if any(s[:12] == sentence[:12] for s in taken):
            continue
        if _miss([*taken, sentence], wanted) <= _miss(taken, wanted):
            taken.append(sentence)
    return taken or sentences[:1]


def _miss(sentences: list[str], wanted: int) -> int:
    return abs(sum(len(s.split()) for s in sentences) - wanted)


def paraphrase(rng: random.Random, text: str) -> str:
    """The same request in other words; of a prompt of the world, its wishes in other words too."""
    about = activities_in(text)
    if not about:
        return _opened_anew(rng, text)
    name = about[0].name
    context = next((c for c in CONTEXTS if c and f"{name}{c}" in text), "")
    asked = [q.format(name=name, context=context) for q in PLAIN_QUESTIONS]
    question = rng.choice([q for q in asked if not text.startswith(q)])
    twin = TWIN_OF.get(name)
    wishes = []
    for dimension, cues in CUES.items():
        known = [*cues, *(DETAIL if dimension == "helpful" else ())]
        filled = [cue.format(twin=twin.name if twin else "") for cue in known]
        if any(wish in text for wish in filled):
            alike = filled[: len(cues)] if twin or dimension != "helpful" else filled[len(cues) :]
            wishes.append(rng.choice([wish for wish in alike if wish not in text]))
    return " ".join([question, *wishes])


def _opened_anew(rng: random.Random, text: str) -> str:
    for form, others in OPENINGS:
        if re.search(form, text):
            return re.sub(form, rng.choice(others), text, count=1)
    return f"In other words: {text.strip()}"
