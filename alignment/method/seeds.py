"""Seeds by hash, so that redone work draws the same rollouts (METHOD.md, section 3)."""

from hashlib import sha256


def seed_of(*parts: str | int) -> int:
    """A seed in [0, 2**63) from the parts, in order.

    A rollout's parts: run seed, stage kind, round, the prompt's natural key, rollout index.
    """
    digest = sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
