import math
from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.records import Dimension, PromptScores
from alignment.method.selection import Selected, SelectionRule, implied_gap, select_pairs

NAMES = ("a", "b", "c")
DIMS = tuple(Dimension(name=n, scale_low=0, scale_high=1, bar=0.5) for n in NAMES)
WEIGHTS = (
    None,
    {"a": 1.0, "b": 0.0, "c": 0.0},
    {"a": 0.5, "b": 0.25, "c": 0.25},
    {"a": 0.1, "b": 0.2, "c": 0.7},
)

score = st.one_of(st.integers(0, 4), st.just(math.nan)).map(lambda x: x / 4)
rollout = st.tuples(
    score, score, score, st.sampled_from("pqrstuvw"), st.booleans(), st.integers(1, 30)
)
rules = st.builds(
    SelectionRule,
    rule=st.sampled_from(["max_margin", "rs_dpo", "max_min"]),
    weights=st.sampled_from(WEIGHTS),
    margin_at_least=st.sampled_from([0.0, 0.1, 0.25]),
    pairs_per_prompt=st.integers(1, 3),
    consistent=st.booleans(),
    focus=st.sampled_from([None, *NAMES]),
    aligned=st.sampled_from([(), ("b",), ("a", "c")]),
    chosen_passes=st.booleans(),
    length_gap_at_most=st.sampled_from([None, 0, 10]),
)
Rollout = tuple[float, float, float, str, bool, int]


def select(rollouts: list[Rollout], rule: SelectionRule) -> Selected:
    raw = np.array([r[:3] for r in rollouts], dtype=float).reshape(-1, 3)
    return select_pairs(
        PromptScores(dims=DIMS, raw=raw),
        rule,
        texts=[r[3] for r in rollouts],
        cut=[r[4] for r in rollouts],
        lengths=[r[5] for r in rollouts],
    )


def allowed(rollouts: list[Rollout], rule: SelectionRule) -> list[tuple[float, int, int]]:
    """Every pair that the method allows, once more in plain Python, as (gap, chosen, rejected), the
    largest gap first: of the worst dimension by `max_min`, else of the weighted reward."""
    copies: dict[str, list[int]] = {}
    for i, r in enumerate(rollouts):
        if not r[4] and not any(math.isnan(x) for x in r[:3]):
            copies.setdefault(r[3], []).append(i)
    means = {
        rows[0]: [round(sum(rollouts[i][k] for i in rows) / len(rows), 12) for k in range(3)]
        for rows in copies.values()
    }
    weights = rule.weights or dict.fromkeys(NAMES, 1 / 3)
    found = []
    for i, j in permutations(means, 2):
        gaps = {n: round(means[i][k] - means[j][k], 12) for k, n in enumerate(NAMES)}
        total = round(sum(weights[n] * gaps[n] for n in NAMES), 9)
        least = implied_gap(rule.tau, rule.eta) if rule.rule == "rs_dpo" else rule.margin_at_least
        if (
            total > 0
            and total >= round(least, 9)
            and (rule.focus is None or gaps[rule.focus] > 0)
            and all(gaps[n] >= 0 for n in rule.aligned)
            and (not rule.consistent or min(gaps.values()) >= 0)
            and (not rule.chosen_passes or min(means[i]) >= 0.5)
            and (
                rule.length_gap_at_most is None
                or abs(rollouts[i][5] - rollouts[j][5]) <= rule.length_gap_at_most
            )
        ):
            gap = min(gaps.values()) if rule.rule == "max_min" else total
            found.append((gap, i, j))
    return sorted(found, key=lambda p: (-p[0], p[1], p[2]))


@given(st.lists(rollout, max_size=9), rules)
def test_the_pairs_are_those_of_brute_force(rollouts: list[Rollout], rule: SelectionRule) -> None:
    candidates = allowed(rollouts, rule)
    expected, used = [], set[int]()
    for _, i, j in candidates:
        free = i not in used and j not in used and len(expected) < rule.pairs_per_prompt
        if rule.rule == "rs_dpo" or free:
            expected.append((i, j))
            used |= {i, j}
    found = select(rollouts, rule)
    assert [(p.chosen, p.rejected) for p in found.pairs] == expected


@given(st.lists(rollout, max_size=9), rules)
def test_the_yield_never_grows_from_filter_to_filter(
    rollouts: list[Rollout], rule: SelectionRule
) -> None:
    left = select(rollouts, rule).left
    names = list(left)
    for units in (names[: names.index("pairs")], names[names.index("pairs") :]):
        counts = [left[name] for name in units]
        assert counts == sorted(counts, reverse=True)
    assert left["pairs"] == math.comb(left["distinct"], 2)
    assert left[names[-2]] == len(allowed(rollouts, rule))


@given(st.lists(rollout, min_size=2, max_size=9), st.data())
def test_the_best_margin_does_not_depend_on_the_order_of_rollouts(
    rollouts: list[Rollout], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rollouts))
    margins = [[p.margin for p in select(r, SelectionRule()).pairs] for r in (rollouts, shuffled)]
    assert margins[0] == margins[1]


@given(st.lists(rollout, min_size=2, max_size=9), rules)
def test_chosen_and_rejected_differ_in_text_and_the_margin_fits_the_gaps(
    rollouts: list[Rollout], rule: SelectionRule
) -> None:
    weights = rule.weights or dict.fromkeys(NAMES, 1 / 3)
    for pair in select(rollouts, rule).pairs:
        assert rollouts[pair.chosen][3] != rollouts[pair.rejected][3]
        total = sum(weights[n] * g for n, g in zip(NAMES, pair.gaps, strict=True))
        assert abs(pair.margin - total) < 1e-9
