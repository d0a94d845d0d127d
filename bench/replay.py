"""How long it takes to replay mining thresholds on the stored scores of 100,000 rollouts.

The first replay reads and counts the scores; every further threshold reads nothing. No worker
takes part.
"""

import time
from typing import Any

from bench import surroundings


def measure() -> dict[str, Any]:
    """Seconds of the first replay and of a further one."""
    with surroundings.database():
        from alignment.method.mining import MiningRule
        from alignment.queries.replay import replay
        from bench import replay_rows

        stage = replay_rows.make_stage()
        began = time.perf_counter()
        first = replay(stage, MiningRule())
        cold = time.perf_counter() - began
        began = time.perf_counter()
        other = replay(stage, MiningRule(attained_at=0.3, joint_at_most=0.2))
        warm = time.perf_counter() - began
    assert first.changed == 0 and other.changed > 0
    return {"replay_100k_s": round(cold, 3), "replay_100k_again_s": round(warm, 4)}
