"""How durations, rates and shares are written."""

from datetime import timedelta

import pytest

from alignment.templatetags import console


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.4, "0.4 s"),
        (0.96, "1.0 s"),
        (41, "41 s"),
        (89.6, "90 s"),
        (90, "2 min"),
        (360, "6 min"),
        (3900, "65 min"),
        (5400, "1 h 30 min"),
        (86400 * 3 + 3600 * 4, "3 d 4 h"),
        (timedelta(seconds=41), "41 s"),
        (None, ""),
    ],
)
def test_a_duration_is_written_as_people_say_it(
    seconds: float | timedelta | None, written: str
) -> None:
    assert console.duration(seconds) == written


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.0, "0 %"), (0.594, "59 %"), (0.999, "99 %"), (1.0, "100 %"), (None, "")],
)
def test_what_is_not_all_is_never_written_as_all(share: float | None, written: str) -> None:
    assert console.percent(share) == written


def test_a_reward_and_its_percentage_round_alike() -> None:
    assert (console.figure(0.975), console.percent(0.975)) == ("0.98", "98 %")
    assert (console.figure(0.974), console.percent(0.974)) == ("0.97", "97 %")
    assert console.interval((0.125, 0.995)) == "0.13 to 1.00"


@pytest.mark.parametrize(
    ("rate", "written"), [(1261.4, "1,261"), (41.2, "41"), (4.13, "4.1"), (0.381, "0.38")]
)
def test_a_rate_has_as_many_figures_as_it_is_worth(rate: float, written: str) -> None:
    assert console.rate(rate) == written


def test_dimensions_always_wear_the_same_colour() -> None:
    assert [console.colour_of(n) for n in ("helpful", "harmless", "truthful")] == [0, 1, 2]
    assert console.colour_of("brief") == console.colour_of("brief") in (3, 4, 5)
