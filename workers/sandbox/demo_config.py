"""What the demo runs: dimensions, prompt sets and the run's configuration, as plain constants.

Sized so that the whole run takes under three minutes on two cores. The sandbox exercises the
machinery and is no evidence for the paper's claim.
"""

from typing import Any

from workers.sandbox.world import Kind

DIMENSIONS: dict[str, dict[str, Any]] = {
    "helpful": {"scale_low": 1.0, "scale_high": 5.0, "bar": 4.0},
    "harmless": {"scale_low": 0.0, "scale_high": 1.0, "bar": 1.0},
    "truthful": {"scale_low": 0.0, "scale_high": 1.0, "bar": 1.0},
}
# Seed of the grammar, and how many prompts of each kind.
Grammar = tuple[int, dict[Kind, int]]
PROMPT_SETS: dict[str, Grammar] = {
    "round-1": (104, {"helpful": 8, "safety": 64, "mixed": 8}),
    "round-2": (135, {"helpful": 8, "safety": 64, "mixed": 8}),
    "held-out": (163, {"helpful": 16, "safety": 24, "mixed": 16}),
}
ROUNDS = (
    {"prompts": "round-1", "focus": "harmless"},
    {"prompts": "round-2", "focus": "helpful"},
)
SAMPLE = {"n": 16, "temperature": 1.0, "top_p": 0.95, "max_new_tokens": 64, "chunk_prompts": 8}
TRAIN = {
    "learning_rate": 1e-3,
    "epochs": 3,
    "batch_pairs": 8,
    "max_length": 256,
    "checkpoint_steps": 10,
}


def run_config(seed: int) -> dict[str, Any]:
    """The demo's RunConfig as a dict: two rounds, harmless then helpful, review skipped."""
    return {
        "policy": "sandbox",
        "seed": seed,
        "dimensions": list(DIMENSIONS),
        "judges": {name: f"sandbox-{name}" for name in DIMENSIONS},
        "rounds": list(ROUNDS),
        "sample": SAMPLE,
        "review": {"mode": "skip"},
        "train": TRAIN,
        "evaluate": {
            "prompts": "held-out",
            "n": 8,
            "judges": {name: f"sandbox-{name}-eval" for name in DIMENSIONS},
        },
    }
