"""TruthfulQA's MC2 from log-probabilities, and the answers that come with a prompt."""

from math import log

import pytest

from alignment.method.mc2 import answers_of, mc2


def test_the_mass_on_the_true_answers_is_normalised() -> None:
    assert mc2([log(0.2), log(0.1)], [log(0.1)]) == pytest.approx(0.75)
    assert mc2([-1000.0], [-1000.0]) == pytest.approx(0.5)  # far below what a float holds
    assert mc2([0.0], [-1e9]) == 1.0


def test_answers_are_read_from_either_form_of_the_data() -> None:
    table = {"Correct Answers": "No; It is not; ", "Incorrect Answers": "Yes"}
    assert answers_of(table) == (["No", "It is not"], ["Yes"])
    targets = {"mc2_targets": {"choices": ["No", "Yes", "Perhaps"], "labels": [1, 0, 0]}}
    assert answers_of(targets) == (["No"], ["Yes", "Perhaps"])
    for nothing in ({}, {"Correct Answers": "No"}, {"mc2_targets": {"choices": ["No"]}}):
        assert answers_of(nothing) is None
