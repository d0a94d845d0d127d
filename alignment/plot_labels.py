"""Which points of a plot get a label, and at which corner: points that coincide share one, and a
label that would cover another is left to hovering. The front's points come first."""

from collections.abc import Sequence
from dataclasses import dataclass

# Of a plot about 900 pixels wide and 380 high, as shares of its axes: a character, a line, a point.
CHAR, LINE, POINT = 0.0078, 0.045, 0.01
MOST_JOINED = 2
MOST_LABELLED = 12
Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A point by its label, at shares of the axes' lengths."""

    name: str
    x: float
    y: float
    on_front: bool


def labels(spots: Sequence[Spot], taken: Sequence[Box] = ()) -> list[tuple[str, str]]:
    """Each spot's text, empty without a label, and its text position; taken: where other text
    stands. Among many points only the front's have labels."""
    groups: dict[tuple[float, float], list[int]] = {}
    for i, spot in enumerate(spots):
        groups.setdefault((round(spot.x, 3), round(spot.y, 3)), []).append(i)
    found = [("", "top right")] * len(spots)
    placed = list(taken)
    front = [own for own in groups.values() if any(spots[i].on_front for i in own)]
    others_too = len(groups) <= MOST_LABELLED
    for own in [*front, *(g for g in groups.values() if others_too and g not in front)]:
        spot, text = spots[own[0]], _joined([spots[i].name for i in own])
        others = [_around(spots[group[0]]) for group in groups.values() if group is not own]
        for place in _corners(spot):
            box = _box(spot, len(text), place)
            if _inside(box) and not any(_meet(box, other) for other in (*placed, *others)):
                placed.append(box)
                found[own[0]] = text, place
                break
    return found


def _joined(names: Sequence[str]) -> str:
    more = len(names) - MOST_JOINED
    told = ", ".join(names[:MOST_JOINED])
    return f"{told} and {more} more" if more > 0 else told


def _corners(spot: Spot) -> list[str]:
    """Towards the middle of the plot first."""
    sides = ["left", "right"] if spot.x > 0.5 else ["right", "left"]
    return [f"{way} {side}" for side in sides for way in ("top", "bottom")]


def _box(spot: Spot, characters: int, place: str) -> Box:
    width = characters * CHAR
    left = spot.x - width - POINT if place.endswith("left") else spot.x + POINT
    bottom = spot.y if place.startswith("top") else spot.y - LINE
    return left, bottom, left + width, bottom + LINE


def _around(spot: Spot) -> Box:
    return spot.x - POINT, spot.y - 2 * POINT, spot.x + POINT, spot.y + 2 * POINT


def _inside(box: Box) -> bool:
    """Whether nothing would be cut off; the margins hold a little."""
    return box[0] > -0.05 and box[2] < 1.02


def _meet(one: Box, other: Box) -> bool:
    across = one[0] < other[2] and other[0] < one[2]
    return across and one[1] < other[3] and other[1] < one[3]
