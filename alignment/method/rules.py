"""The rule judges by name: those that are shipped, and the operator's list."""

SHIPPED = {
    "refusal": "workers.engines.judges:refusal",
    "sandbox-helpful": "workers.sandbox.judges:helpful",
    "sandbox-harmless": "workers.sandbox.judges:harmless",
    "sandbox-truthful": "workers.sandbox.judges:truthful",
    "sandbox-helpful-eval": "workers.sandbox.evaluation:helpful",
    "sandbox-harmless-eval": "workers.sandbox.evaluation:harmless",
    "sandbox-truthful-eval": "workers.sandbox.evaluation:truthful",
    "sandbox-prompt-harm": "workers.sandbox.judges:prompt_harm",
}


def known_rules(listed: str) -> dict[str, str]:
    """Rule -> `module:function`; `listed` is the operator's "name=module:function,..."."""
    entries = [entry.strip().partition("=") for entry in listed.split(",") if entry.strip()]
    return SHIPPED | {name.strip(): target.strip() for name, _, target in entries}
