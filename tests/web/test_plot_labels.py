"""Labels of plots: none covers another."""

from hypothesis import given
from hypothesis import strategies as st

from alignment.plot_labels import MOST_LABELLED, Spot, _box, _meet, labels


def spot(name: str, x: float, y: float, on_front: bool = True) -> Spot:
    return Spot(name=name, x=x, y=y, on_front=on_front)


def test_points_that_coincide_share_one_label() -> None:
    found = labels([spot(name, 0.5, 0.5) for name in ("one", "two", "three", "four")])
    assert [text for text, _ in found] == ["one, two and 2 more", "", "", ""]


def test_a_label_that_would_cover_another_is_left_out_and_the_fronts_come_first() -> None:
    close = [spot(f"a rather long name {i}", 0.5, 0.5 + i / 50, i == 4) for i in range(5)]
    found = [text for text, _ in labels(close)]
    assert found[4] == "a rather long name 4" and "" in found


def test_among_many_points_only_the_fronts_have_labels() -> None:
    spots = [spot(str(i), i / 40, i / 40, i == 3) for i in range(MOST_LABELLED + 1)]
    assert [text for text, _ in labels(spots) if text] == ["3"]


def test_a_label_keeps_off_other_text() -> None:
    assert labels([spot("policy", 0.2, 0.5)]) == [("policy", "top right")]
    assert labels([spot("policy", 0.2, 0.5)], [(0.2, 0.51, 0.3, 0.6)]) == [
        ("policy", "bottom right")
    ]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.text("abc", min_size=1), st.booleans()),
        max_size=20,
    )
)
def test_no_label_covers_another(rows: list[tuple[float, float, str, bool]]) -> None:
    spots = [spot(name, x, y, front) for x, y, name, front in rows]
    boxes = [
        _box(own, len(text), place)
        for own, (text, place) in zip(spots, labels(spots), strict=True)
        if text
    ]
    assert not any(_meet(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
