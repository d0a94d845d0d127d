"""Reviews per hour as a small bar chart: places and sizes from rows; its template draws it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

HOURS, HEIGHT, STEP = 24, 96, 12


@dataclass(frozen=True, kw_only=True)
class Bar:
    """An hour's bar, in units of the drawing; y counts down from the top."""

    at: datetime
    n: int
    x: int
    y: int
    height: int


@dataclass(frozen=True, kw_only=True)
class HoursChart:
    """bars: one an hour, oldest first; most: reviews that the full height stands for; finding: what
    the chart shows, in a sentence."""

    bars: list[Bar]
    most: int
    total: int
    finding: str


def hours_chart(rows: Sequence[tuple[datetime, int]], now: datetime) -> HoursChart:
    """The last 24 hours up to now; hours without reviews are gaps."""
    given = dict(rows)
    last = now.replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
    counts = [given.get(hour, 0) for hour in hours]
    most = max(1, *counts)
    heights = [round(HEIGHT * n / most) for n in counts]
    bars = [
        Bar(at=at, n=n, x=i * STEP, y=HEIGHT - height, height=height)
        for i, (at, n, height) in enumerate(zip(hours, counts, heights, strict=True))
    ]
    busiest = max(bars, key=lambda bar: bar.n)
    finding = f"{sum(counts)} reviews in the last {HOURS} hours"
    if busiest.n > 1:
        finding += f", most in the hour from {busiest.at:%H:%M} UTC: {busiest.n}"
    return HoursChart(bars=bars, most=most, total=sum(counts), finding=f"{finding}.")
