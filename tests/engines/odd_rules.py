"""Rules that misbehave, named to the child through MORA_RULES."""

import math
import time


def prints(prompt: str, completion: str) -> tuple[float | None, str]:
    print("a library that prints", flush=True)
    return 1.0, "printed"


def fails(prompt: str, completion: str) -> tuple[float | None, str]:
    raise KeyError(completion)


def gives_nan(prompt: str, completion: str) -> tuple[float | None, str]:
    return math.nan, "no number"


def counts(prompt: str, completion: str) -> int:
    return len(completion.split())


def gives_text(prompt: str, completion: str) -> str:
    return completion


def sleeps(prompt: str, completion: str) -> tuple[float | None, str]:
    time.sleep(60)
    return 1.0, "late"


RULES = ",".join(
    f"{name}=tests.engines.odd_rules:{name}"
    for name in ("prints", "fails", "gives_nan", "counts", "gives_text", "sleeps")
)
