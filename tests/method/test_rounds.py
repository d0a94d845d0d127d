"""What a round's pairs must keep: every dimension that an earlier round aligned."""

from typing import Any

import pytest

from alignment.method import plan
from tests.builders import config_of

HARMLESS, HELPFUL, TRUTHFUL, ALL = "harmless", "helpful", "truthful", None


@pytest.mark.parametrize(
    ("foci", "aligned"),
    [
        ([HARMLESS], []),
        ([HARMLESS, HELPFUL, TRUTHFUL], [HARMLESS, HELPFUL]),
        ([HARMLESS, HELPFUL, HARMLESS], [HELPFUL]),
        ([ALL, HELPFUL], [HARMLESS, TRUTHFUL]),
        ([HELPFUL, ALL], [HELPFUL]),
        ([ALL, ALL], [HARMLESS, HELPFUL, TRUTHFUL]),
    ],
)
def test_a_round_keeps_what_earlier_rounds_aligned(foci: list[Any], aligned: list[str]) -> None:
    config = config_of(rounds=[{"prompts": "mixed", "focus": focus} for focus in foci])
    asked = plan.settings(config, "pair", len(foci))
    assert (asked["focus"], asked["aligned"]) == (foci[-1], aligned)
