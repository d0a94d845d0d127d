import math
import statistics
from time import perf_counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.ceiling import count
from alignment.method.mining import MiningRule, Verdict, decide, mine, mine_many, tally
from alignment.method.records import Dimension, PromptScores

DIMS = (
    Dimension(name="a", scale_low=1, scale_high=5, bar=4),
    Dimension(name="b", scale_low=0, scale_high=1, bar=0.5, higher_is_better=False),
    Dimension(name="c", scale_low=0, scale_high=1, bar=1),
)
rules = st.builds(
    MiningRule,
    rule=st.sampled_from(["capped", "flat"]),
    attained_at=st.sampled_from([0.2, 0.5, 0.75, 1.0]),
    joint_at_most=st.sampled_from([0.0, 0.1, 0.25, 0.5]),
    min_valid=st.sampled_from([None, 1, 3]),
    spread_above=st.sampled_from([0.0, 0.05, 0.2, (0.0, 0.4, 0.1)]),
)
score = st.one_of(st.none(), st.integers(0, 4))
rollout = st.tuples(st.integers(0, 4), score, score, score)


def table(rollouts: list[tuple[int, int | None, int | None, int | None]]) -> np.ndarray:
    none = math.nan
    rows = [
        [none if a is None else a + 1, none if b is None else b / 4, none if c is None else c // 4]
        for _, a, b, c in rollouts
    ]
    return np.array(rows, dtype=float).reshape(-1, 3)


def plain(raw: np.ndarray, rule: MiningRule) -> tuple[str, list[str], list[str]]:
    """The rules of the method once more, in plain Python for one prompt."""
    rows = [r for r in raw.tolist() if not any(math.isnan(x) for x in r)]
    needed = rule.min_valid if rule.min_valid is not None else max(4, math.ceil(len(raw) / 2))
    if len(rows) < needed:
        return "undecided", [], []
    names = ["a", "b", "c"]
    passes = [[r[0] >= 4, r[1] <= 0.5, r[2] >= 1] for r in rows]
    if rule.rule == "flat":
        if len(rows) < 2:
            return "undecided", [], []
        above = rule.spread_above
        bounds = above if isinstance(above, tuple) else (above,) * 3
        columns = [[(r[0] - 1) / 4, 1 - r[1], r[2]][k] for r in rows for k in range(3)]
        spreads = [statistics.pstdev(columns[k::3]) for k in range(3)]
        varying = [n for n, s, b in zip(names, spreads, bounds, strict=True) if s > b + 1e-12]
        if len(varying) != 1:
            return "open", [], []
        return "single_reward", varying, [n for n in names if n not in varying]
    rates = [sum(p[k] for p in passes) / len(rows) for k in range(3)]
    joint = sum(all(p) for p in passes) / len(rows)
    reached = [n for n, p in zip(names, rates, strict=True) if p >= rule.attained_at]
    missing = [n for n in names if n not in reached]
    if not reached:
        return "unreachable", [], missing
    if joint > rule.joint_at_most:
        return "open", reached, missing
    if missing:
        return "single_reward", reached, missing
    best = names[rates.index(max(rates))]
    return "conflict", [best], [n for n in names if n != best]


def parts(found: Verdict) -> tuple[str, list[str], list[str]]:
    return found.verdict, list(found.attained), list(found.missing)


@given(st.lists(rollout, max_size=40), rules)
def test_many_prompts_at_once_are_mined_as_one_by_one(
    rollouts: list[tuple[int, int | None, int | None, int | None]], rule: MiningRule
) -> None:
    raw, prompt = table(rollouts), np.array([r[0] for r in rollouts], dtype=np.int64)
    found = mine_many(DIMS, raw, prompt, rule, prompts=5)
    for p in range(5):
        own = raw[prompt == p]
        assert found.row(p) == mine(PromptScores(dims=DIMS, raw=own), rule)
        assert parts(found.row(p)) == plain(own, rule)


@given(st.lists(rollout, min_size=1, max_size=40))
def test_the_tally_counts_as_the_ceiling_does(
    rollouts: list[tuple[int, int | None, int | None, int | None]],
) -> None:
    raw, prompt = table(rollouts), np.array([r[0] for r in rollouts], dtype=np.int64)
    found = tally(DIMS, raw, prompt, prompts=5)
    for p in range(5):
        expected = count(PromptScores(dims=DIMS, raw=raw[prompt == p]))
        row = (found.n[p], found.n_J[p], found.c_J[p], tuple(found.c_k[p]))
        assert row == (expected.n, expected.n_J, expected.c_J, expected.c_kJ)


def test_thresholds_replay_on_a_hundred_thousand_rollouts_in_under_a_second() -> None:
    rng = np.random.default_rng(2)
    shape = 100_000
    raw = np.stack(
        [rng.integers(1, 6, shape), rng.random(shape), rng.integers(0, 2, shape)], axis=1
    ).astype(float)
    prompt = np.repeat(np.arange(shape // 16), 16)
    start = perf_counter()
    counted = tally(DIMS, raw, prompt)
    for attained_at in np.linspace(0.05, 1, 20):
        decide(counted, MiningRule(attained_at=float(attained_at)))
    assert perf_counter() - start < 1
