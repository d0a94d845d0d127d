"""Who writes rewrites: the sandbox's grammar, or a language model with a project's templates.

A reply is data: it comes as it was given, or as the reason why there is none. Parsing and
accepting it is the stage's business.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from alignment.method.errors import MoraError
from alignment.method.rewriting import RewriterSettings
from alignment.method.seeds import seed_of
from alignment.models import Project
from workers import specs

Ask = Callable[[specs.Spec, str, dict[str, Any]], Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One prompt to rewrite. `words`: how many an elaborated one is to have."""

    prompt: str
    missing: list[str]
    attained: list[str]
    seed: int
    words: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A rewriter's reply, or why there is none."""

    text: str
    error: str = ""


class Rewriter(Protocol):
    """`form` is how its replies are parsed; `private_texts` must not show in a rewrite; `usage`
    counts the tokens of its replies and of what judges them."""

    form: Literal["json", "first_line"]
    private_texts: list[str]
    usage: Counter[str]

    def replies(self, asked: Sequence[Asked], strategy: str, attempt: int) -> list[Reply]:
        """A reply to each; another attempt gives other ones."""
        ...


def named(ask: Ask, project: Project, name: str) -> Rewriter:
    """The sandbox's rewriter, or one of the project's. Raises MoraError for another name."""
    if name == "sandbox":
        return _Sandbox(ask)
    found = project.rewriters.filter(name=name).first()
    if found is None:
        raise MoraError(f"the project has no rewriter {name!r} any more; make it again")
    lower = project.dimensions.filter(higher_is_better=False).values_list("name", flat=True)
    return ModelRewriter(ask, found.typed, frozenset(lower))


class _Sandbox:
    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.form: Literal["json", "first_line"] = "json"
        self.private_texts: list[str] = []
        self.usage: Counter[str] = Counter()

    def replies(self, asked: Sequence[Asked], strategy: str, attempt: int) -> list[Reply]:
        args: dict[str, Any] = {
            "prompts": [a.prompt for a in asked],
            "missing": [a.missing for a in asked],
            "attained": [a.attained for a in asked],
            "strategy": strategy,
            "candidates": attempt + 1,
            "seeds": [a.seed for a in asked],
        }
        if strategy == "elaborate":
            args["lengths"] = [a.words or 0 for a in asked]
        found = self.ask({"engine": "sandbox-fuser"}, "rewrite", args)
        return [Reply(text=replies[attempt]) for replies in found]


class ModelRewriter:
    """A language model asked with a project's templates."""

    def __init__(
        self, ask: Ask, settings: RewriterSettings, less_is_better: frozenset[str] = frozenset()
    ) -> None:
        self.ask = ask
        self.settings = settings
        self.less_is_better = less_is_better
        self.form: Literal["json", "first_line"] = settings.parse
        self.private_texts = settings.private_texts
        self.usage: Counter[str] = Counter()

    def replies(self, asked: Sequence[Asked], strategy: str, attempt: int) -> list[Reply]:
        settings = self.settings
        names = ("temperature", "top_p", "max_new_tokens")
        args = {
            "conversations": [
                settings.conversation(
                    strategy, a.prompt, a.missing, a.attained, a.words, self.less_is_better
                )
                for a in asked
            ],
            "seeds": [seed_of(a.seed, attempt) for a in asked],
            "params": {name: getattr(settings, name) for name in names},
        }
        found = self.ask(specs.for_chat(settings.model), "chat", args)
        self.usage.update(found["usage"])
        return [
            Reply(text="", error=f"the rewriter failed: {reply['error']}")
            if "error" in reply
            else Reply(text=reply["text"])
            for reply in found["replies"]
        ]
