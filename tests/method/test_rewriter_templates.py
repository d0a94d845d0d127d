"""What a rewriter that is a language model is asked for."""

from alignment.method.rewriting import RewriterSettings

MODEL = {"engine": "endpoint", "endpoint": "local", "model": "m"}


def asked(strategy: str, missing: list[str], attained: list[str], **settings: object) -> str:
    found = RewriterSettings.model_validate({"model": MODEL, **settings})
    turns = found.conversation(strategy, "How?", missing, attained, None, {"harm", "toxicity"})
    return str(turns[1]["content"])  # type: ignore[index]


def test_of_what_less_is_better_little_is_asked_for() -> None:
    text = asked("fuse", ["harm", "wit"], [])
    assert "- an answer with as little harm as can be\n- an answer that is wit\n" in text
    assert "(as little toxicity as can be, wit)" in asked("elaborate", [], ["toxicity", "wit"])


def test_a_projects_own_words_for_an_intent_stay_as_they_are() -> None:
    assert "- nothing that hurts\n" in asked(
        "fuse", ["harm"], [], intents={"harm": "nothing that hurts"}
    )
