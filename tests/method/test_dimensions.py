import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.method.records import Dimension, PromptScores


def grade(bar: float = 4, *, higher: bool = True) -> Dimension:
    return Dimension(name="helpful", scale_low=1, scale_high=5, bar=bar, higher_is_better=higher)


def test_a_grade_becomes_its_share_of_the_scale() -> None:
    assert grade().normalise([1, 2, 3, 4, 5]).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_where_lower_is_better_the_lowest_grade_is_1() -> None:
    assert grade(2, higher=False).normalise([1, 2, 5]).tolist() == [1, 0.75, 0]


def test_scores_outside_the_scale_are_clipped_and_counted() -> None:
    assert grade().normalise([-3, 9]).tolist() == [0, 1]
    assert grade().clipped_share([-3, 9, 1, 5]) == 0.5
    assert grade().clipped_share([np.nan, 9]) == 1.0


def test_the_clipped_share_of_no_score_is_undefined() -> None:
    assert grade().clipped_share([np.nan]) is None


def test_no_score_gives_no_reward_and_no_pass() -> None:
    scores = PromptScores(dims=(grade(),), raw=np.array([[np.nan], [np.inf], [-np.inf], [4.0]]))
    assert scores.valid[:, 0].tolist() == [False, False, False, True]
    assert np.isnan(scores.rewards[:3]).all()
    assert scores.passed[:, 0].tolist() == [False, False, False, True]


def test_the_bar_itself_passes_whichever_end_is_best() -> None:
    assert grade(4).passes([3.999, 4, 5]).tolist() == [False, True, True]
    assert grade(2, higher=False).passes([1, 2, 2.001]).tolist() == [True, True, False]


@pytest.mark.parametrize("bar", [0, 6])
def test_a_bar_outside_the_scale_is_refused_by_name(bar: float) -> None:
    with pytest.raises(ValueError, match=f"The bar {bar} of dimension 'helpful' lies outside"):
        grade(bar)


def test_a_bar_that_everything_passes_is_refused() -> None:
    with pytest.raises(ValueError, match="everything would pass"):
        grade(1)
    with pytest.raises(ValueError, match="everything would pass"):
        grade(5, higher=False)


def test_a_bar_that_only_the_best_score_passes_is_allowed() -> None:
    assert grade(5).passes(5)
    assert grade(1, higher=False).passes(1)


@pytest.mark.parametrize(("low", "high", "bar"), [(5, 1, 3), (2, 2, 2), (0, float("inf"), 1)])
def test_an_empty_or_unbounded_scale_is_refused(low: float, high: float, bar: float) -> None:
    with pytest.raises(ValueError, match="scale_low below scale_high"):
        Dimension(name="d", scale_low=low, scale_high=high, bar=bar)


def test_a_bar_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        grade(float("nan"))


def test_columns_must_fit_the_dimensions() -> None:
    with pytest.raises(ValueError, match=r"shape \(rollouts, 1\)"):
        PromptScores(dims=(grade(),), raw=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="different names"):
        PromptScores(dims=(grade(), grade()), raw=np.zeros((3, 2)))


finite = st.floats(-1e6, 1e6)


@given(finite, finite, st.booleans())
def test_better_raw_scores_never_get_smaller_rewards(one: float, two: float, higher: bool) -> None:
    dim = Dimension(name="d", scale_low=-10, scale_high=7, bar=0, higher_is_better=higher)
    worse, better = sorted((one, two), reverse=not higher)
    assert 0 <= dim.normalise(worse) <= dim.normalise(better) <= 1
    assert dim.passes(better) or not dim.passes(worse)
