import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.statistics import holm, sign_flip_p

NONE = math.nan


def exact_p(sums: list[float]) -> float:
    """Share of all sign patterns whose |sum| reaches the observed one."""
    flips = [
        abs(math.fsum(s * x for s, x in zip(signs, sums, strict=True)))
        for signs in product((1, -1), repeat=len(sums))
    ]
    return sum(f >= abs(math.fsum(sums)) - 1e-12 for f in flips) / len(flips)


def p_of(differences: list[float], parent: list[int] | None = None, **options: int) -> float | None:
    options = {"seed": 1, **options}
    zeros = [[0.0] * len(differences)]
    return sign_flip_p([differences], zeros, parent or list(range(len(differences))), **options)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=7))
def test_the_p_value_comes_near_that_of_all_sign_patterns(steps: list[int]) -> None:
    differences = [s / 10 for s in steps]
    found = p_of(differences)
    assert found == pytest.approx(exact_p(differences), abs=0.03)


def test_signs_flip_by_parent_not_by_prompt() -> None:
    # Two parents of four prompts each: of 4 patterns 2 reach the sum, of 256 only 2 would.
    differences, parent = [0.25] * 8, [1, 1, 1, 1, 2, 2, 2, 2]
    assert p_of(differences, parent) == pytest.approx(0.5, abs=0.03)
    assert p_of(differences) == pytest.approx(2 / 256, abs=0.005)


def test_seeds_are_averaged_before_signs_flip() -> None:
    first = [[1.0, 0.0, NONE], [0.0, 1.0, 1.0]]
    found = sign_flip_p(first, np.zeros((2, 3)), [1, 2, 3], seed=1)
    assert found == pytest.approx(exact_p([0.5, 0.5, 1.0]), abs=0.03)


def test_the_smallest_p_is_one_in_flips_plus_one_and_never_0() -> None:
    assert p_of([1.0] * 60, flips=99) == 1 / 100


def test_no_difference_at_all_has_a_p_of_1() -> None:
    assert p_of([0.0] * 5) == 1


def test_flips_that_reach_the_sum_but_for_rounding_count() -> None:
    # Every sign pattern of one difference reaches it, whatever the order of addition.
    assert p_of([0.1, 0.2, 0.3], [1, 1, 1]) == 1


def test_nothing_to_flip_has_no_p() -> None:
    assert p_of([NONE, NONE]) is None
    assert sign_flip_p(np.empty((1, 0)), np.empty((1, 0)), [], seed=1) is None


def test_the_p_value_repeats_with_its_seed() -> None:
    differences = [0.3, -0.1, 0.2, 0.4, -0.2, 0.1]
    assert p_of(differences, seed=5) == p_of(differences, seed=5)
    assert p_of(differences, seed=5) != p_of(differences, seed=6)


def test_holm_of_a_published_example() -> None:
    found = holm([0.01, 0.04, 0.03, 0.005])
    assert found == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_holm_leaves_an_undefined_test_out_of_the_family() -> None:
    assert holm([0.02, None, 0.5]) == (0.04, None, 0.5)
    assert holm([None]) == (None,)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_the_p_and_bonferroni(ps: list[float]) -> None:
    found = holm(ps)
    for p, adjusted in zip(ps, found, strict=True):
        assert adjusted is not None
        assert p <= adjusted <= min(1.0, len(ps) * p)
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    assert [found[i] for i in order] == sorted(found)
    assert found[order[0]] == min(1.0, len(ps) * ps[order[0]])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.5))
def test_holm_rejects_what_its_step_down_procedure_rejects(ps: list[float], level: float) -> None:
    order, rejected = sorted(range(len(ps)), key=lambda i: ps[i]), set[int]()
    for rank, i in enumerate(order):
        if (len(ps) - rank) * ps[i] > level:
            break
        rejected.add(i)
    assert {i for i, adjusted in enumerate(holm(ps)) if adjusted <= level} == rejected
