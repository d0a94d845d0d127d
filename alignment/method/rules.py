"""The rule judges by name: those that are shipped, and the operator's list."""

from collections.abc import Iterable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

SHIPPED = {
    "refusal": "alignment.method.refusals:refusal",
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


def code_of(rules: Iterable[str], listed: str) -> str:
    """What tells the code of an operator's rules from another: a hash of their targets and of the
    files that they are in, as these are now. Empty for shipped rules and for files that are not
    there."""
    known = known_rules(listed)
    own = sorted({known[r] for r in rules if r in known and known[r] != SHIPPED.get(r)})
    sources = [(target, _source(target.partition(":")[0])) for target in own]
    found = b"\0".join(target.encode() + b"\0" + text for target, text in sources if text)
    return sha256(found).hexdigest() if found else ""


def _source(module: str) -> bytes:
    try:
        found = find_spec(module)
        return Path(found.origin).read_bytes() if found and found.origin else b""
    except Exception:  # whatever the package around it raises when it is imported
        return b""
