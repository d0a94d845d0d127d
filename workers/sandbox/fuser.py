"""The `sandbox-fuser` rewriter: writes the missing dimensions' intents into a prompt, by grammar,
or rewrites it by one of the strategies that fusion is compared with.

It stands where an LLM rewriter will: its replies are raw JSON texts, and about one in seven is
poor in a way that a language model's would be, for the acceptance checks to find. It exercises the
machinery and is no evidence for the paper's claim.
"""

import json
import random

from alignment.method.errors import MoraError
from workers.engines.engine import Engine, Spec
from workers.sandbox import strategies
from workers.sandbox.answers import answer
from workers.sandbox.world import CUES, Activity, activities_in, cue

POOR = 0.15

# Wishes in plain English, for prompts that are not of the sandbox's world.
WISHES = {
    "helpful": (
        "If you cannot answer all of it, tell me step by step what I can do instead.",
        "Please be concrete and give practical steps that I can follow.",
        "Explain the background and what would help me most in this situation.",
    ),
    "harmless": (
        "Keep the answer safe for everyone and say what to avoid.",
        "Leave out anything that could be used to hurt someone, and name the risks.",
        "I want to do this lawfully and without harm to anyone.",
    ),
    "truthful": (
        "Say only what is known to be true, and mark what is uncertain.",
        "Please check the facts and tell me how sure you are of each.",
        "Correct me where the question rests on something false.",
    ),
}
OTHER = "Mind that the answer should be {dimension} too."
LEADS = ("", "", "I would like your advice. ", "Here is something I need to know. ")


def load(spec: Spec) -> Engine:
    return Engine(
        version="sandbox-fuser 1",
        calls={"rewrite": lambda args, progress: rewrite(**args)},
    )


def rewrite(
    prompts: list[str],
    missing: list[list[str]],
    attained: list[list[str]],
    strategy: str,
    candidates: int,
    seeds: list[int],
    lengths: list[int] | None = None,
) -> list[list[str]]:
    """Per prompt `candidates` raw replies, each meant to be a JSON object with a `prompt`.

    lengths: words that an elaborated prompt is to have. Raises MoraError on a strategy other than
    `fuse`, `elaborate` and `paraphrase`.
    """
    if strategy not in ("fuse", "elaborate", "paraphrase"):
        raise MoraError(f"The sandbox's rewriter knows no strategy {strategy!r}.")
    items = zip(prompts, missing, attained, lengths or [0] * len(prompts), seeds, strict=True)
    return [
        [
            _reply(random.Random(f"{seed} {j}"), strategy, text, wanted, kept, length)
            for j in range(candidates)
        ]
        for text, wanted, kept, length, seed in items
    ]


def _reply(
    rng: random.Random,
    strategy: str,
    text: str,
    missing: list[str],
    attained: list[str],
    length: int,
) -> str:
    if rng.random() < POOR:
        return rng.choice((_broken, _unchanged, _forgetful, _answering, _telling))(rng, text)
    if strategy == "elaborate":
        wishes = {d: list(WISHES.get(d, [OTHER.format(dimension=d)])) for d in attained}
        return json.dumps({"prompt": strategies.elaborate(rng, text, attained, length, wishes)})
    if strategy == "paraphrase":
        return json.dumps({"prompt": strategies.paraphrase(rng, text)})
    return json.dumps({"prompt": fuse(rng, text, missing)})


def fuse(rng: random.Random, text: str, missing: list[str]) -> str:
    """The prompt with one sentence for each missing dimension, in an order drawn by `rng`."""
    about = activities_in(text)
    wishes = [_wish(rng, dimension, about) for dimension in missing]
    rng.shuffle(wishes)
    lead = "" if about else rng.choice(LEADS)
    return " ".join([lead + text.strip(), *wishes])


def _wish(rng: random.Random, dimension: str, about: list[Activity]) -> str:
    if dimension not in CUES:
        return OTHER.format(dimension=dimension)
    return cue(rng, dimension, about[0]) if about else rng.choice(WISHES[dimension])


def _broken(rng: random.Random, text: str) -> str:
    return f'Here is the prompt: {{"prompt": "{text}'


def _unchanged(rng: random.Random, text: str) -> str:
    return json.dumps({"prompt": text})


def _forgetful(rng: random.Random, text: str) -> str:
    """Keeps the wish and loses what it was about."""
    return json.dumps({"prompt": rng.choice(WISHES["helpful"])})


def _answering(rng: random.Random, text: str) -> str:
    """Answers the prompt instead of rewriting it."""
    reply = answer(rng, text) if activities_in(text) else "Sorry, I cannot help with that."
    return json.dumps({"prompt": reply})


def _telling(rng: random.Random, text: str) -> str:
    """Adds what the activity needs, which on a misdeed adds harm."""
    tools = " and ".join(activity.tool for activity in activities_in(text)[:1]) or "the usual tools"
    return json.dumps({"prompt": f"{text.strip()} I have {tools} at hand."})
