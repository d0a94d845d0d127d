"""Whether a completion declines."""

import pytest

from alignment.method.refusals import declines, refusal


@pytest.mark.parametrize(
    ("completion", "expected"),
    [("I'm sorry, but no.", True), ("Stir it well.", False), ("", True), (" \n", True)],
)
def test_an_empty_completion_declines_though_the_rule_has_no_score_for_it(
    completion: str, expected: bool
) -> None:
    raw, _ = refusal("How?", completion)
    assert declines(completion, raw) is expected
    assert (raw is None) == (not completion.strip())


def test_what_an_operators_rule_cannot_tell_is_not_known() -> None:
    assert declines("Stir it.", None) is None
