import pytest

from alignment.method.statistics import alignment_tax


def test_the_tax_of_three_rounds_by_hand() -> None:
    means = [[0.2, 0.3, 0.4], [0.6, 0.2, 0.4], [0.5, 0.7, 0.3], [0.45, 0.6, 0.8]]
    found = alignment_tax(means, [0, 1, 2])
    assert found.tax[0] == (None, None, None)
    assert found.tax[1] == (pytest.approx(-0.1), None, None)
    assert found.tax[2] == (pytest.approx(-0.15), pytest.approx(-0.1), None)
    assert found.to_start == pytest.approx((0.25, 0.3, 0.4))


def test_aligning_a_dimension_again_starts_its_tax_anew() -> None:
    found = alignment_tax(
        [[0.0, 0.0], [0.5, 0.1], [0.4, 0.6], [0.7, 0.5], [0.6, 0.5]], [0, 1, 0, 1]
    )
    assert found.tax[1] == (pytest.approx(-0.1), None)
    assert found.tax[2] == (None, pytest.approx(-0.1))
    assert found.tax[3] == (pytest.approx(-0.1), None)


def test_a_simultaneous_round_aligns_every_dimension() -> None:
    found = alignment_tax([[0.2, 0.3], [0.4, 0.5]], [None])
    assert found.tax == ((None, None),)
    assert found.to_start == pytest.approx((0.2, 0.2))
    found = alignment_tax([[0.2, 0.3], [0.5, 0.2], [0.4, 0.5], [0.6, 0.1]], [0, None, 0])
    assert found.tax == ((None, None), (None, None), (None, pytest.approx(-0.4)))


def test_an_undefined_mean_gives_no_tax() -> None:
    found = alignment_tax([[0.2, 0.3], [0.4, 0.5], [None, 0.5]], [0, 1])
    assert found.tax[1] == (None, None)
    assert found.to_start == (None, pytest.approx(0.2))


def test_means_must_be_given_for_the_start_and_every_round() -> None:
    with pytest.raises(ValueError, match="2 rounds need 3 rows"):
        alignment_tax([[0.2], [0.3]], [0, 0])
