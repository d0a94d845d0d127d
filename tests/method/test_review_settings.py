"""Which settings of a review make it another stage, and which do not."""

from typing import Any

import pytest
from pydantic import ValidationError

from alignment.method.config import ReviewConfig
from alignment.method.plan import settings
from tests.builders import config_of


def review_of(**values: Any) -> dict[str, Any]:
    found: dict[str, Any] = settings(config_of(review=values), "review", 1)["review"]
    return found


def test_what_people_do_is_part_of_a_review_that_asks_them() -> None:
    asked = review_of(mode="required", overlap=2)
    assert asked == {"mode": "required", "audit_share": 0.2, "overlap": 2, "ratings": True}
    assert review_of(mode="skip", overlap=2) == {"mode": "skip", "audit_share": 0.2}


def test_how_long_a_review_stays_open_is_no_part_of_it() -> None:
    assert review_of(mode="required") == review_of(mode="required", close_after_seconds=5)


@pytest.mark.parametrize("values", [{"overlap": 0}, {"overlap": 6}, {"close_after_seconds": -1}])
def test_settings_out_of_range_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ReviewConfig(**values)
