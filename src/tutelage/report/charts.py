"""Charts as inline SVG: lines with their intervals over named axes, and lanes along one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tutelage.core.chance import Interval
from tutelage.core.records import Lane, Line, Panel

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 34
LANE = 22
MOST_LINES = 5
"""Lines of a chart that have a colour of their own."""
_TICKS = 4
_HEAD = 14
_NAMES = 24
"""Further room at the left, for the names of lanes."""
_LONG_NAMES = 96
"""The same, for those of runs."""
_LONGEST = 26
"""Letters of a name that fit into it."""
_FLAT = 1e-4
"""Lines that move by less of their height are drawn flat: their ticks would be all nines."""
_THINNEST = 0.8
"""Width of the shortest stretch of a lane, so that it can be seen."""
Ticks = tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, ready for the page.

    Args:
        title: What it shows.
        said: The same for those who don't see it.
        height: Of the drawing.
        across: Name of the axis along it.
        up: Name of the upright one.
        ticks_across: Place and words of each tick.
        ticks_up: The same, upright; of lanes their names.
        bands: Number of a line, and the outline of its interval.
        segments: Number of a line, and the points of an unbroken stretch of it.
        spans: Number of a lane; left edge, top and width of each stretch of it.
        dots: Values, each with its interval.
        names: Of the lines.
        left: Where the axis along it begins.
        named: Whether the upright ticks are names, which stand at the very left.
    """

    title: str
    said: str
    height: int
    across: str
    up: str
    ticks_across: Ticks
    ticks_up: Ticks
    bands: tuple[tuple[int, str], ...] = ()
    segments: tuple[tuple[int, str], ...] = ()
    spans: tuple[tuple[int, float, float, float], ...] = ()
    dots: tuple[tuple[float, float], ...] = ()
    names: tuple[str, ...] = ()
    left: int = LEFT
    named: bool = False

    @property
    def head(self) -> int:
        """Room above it for the name of its upright axis."""
        return _HEAD if self.up else 0


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values along an axis, and where the lowest and the highest stand in the drawing."""

    low: float
    high: float
    first: float
    last: float

    def place(self, value: float) -> float:
        """Return where a value stands."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.first + share * (self.last - self.first)

    @property
    def ticks(self) -> Ticks:
        """Place and words of round values."""
        values = ticks(self.low, self.high)
        words = [f"{value:.6g}" for value in values]
        if len({*words}) < len(words):
            digits = 1 - math.floor(math.log10(values[1] - values[0]))
            words = [f"{value:.{digits}f}" for value in values]
        return tuple((self.place(value), word) for value, word in zip(values, words, strict=True))


def chart(panel: Panel) -> Chart | None:
    """Draw a panel that has axes; null where nothing in it can be drawn."""
    return _of_lanes(panel) if panel.lanes else _of_lines(panel)


def _of_lines(panel: Panel) -> Chart | None:
    lines = panel.lines[:MOST_LINES]
    points = [list(_points(line)) for line in lines]
    heights = [y for line in points for _, y in line if math.isfinite(y)]
    if not heights:
        return None
    heights += [bound for line in lines for bound in (*line.low, *line.high)]
    places = [x for line in points for x, _ in line]
    across = _Scale(min(places), max(places), LEFT, WIDTH - RIGHT)
    low, high = min(heights), max(heights)
    if low < high:
        low = min(low, high - _FLAT * max(abs(low), abs(high)))
    up = _Scale(low, high, HEIGHT - BOTTOM, TOP)
    bands = tuple((n, _band(line, across, up)) for n, line in enumerate(lines) if line.low)
    segments = tuple(
        (number, " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in stretch))
        for number, line in enumerate(points)
        for finite, stretch in groupby(line, lambda point: math.isfinite(point[1]))
        if finite
    )
    reach = f"{across.low:.6g} to {across.high:.6g}"
    return Chart(
        title=panel.title,
        said=f"{panel.title} from {up.low:.4g} to {up.high:.4g} over {panel.across} {reach}",
        height=HEIGHT,
        across=panel.across,
        up=panel.up,
        ticks_across=across.ticks,
        ticks_up=up.ticks,
        bands=bands,
        segments=segments,
        names=tuple(line.name for line in lines),
    )


def _points(line: Line) -> Iterator[tuple[float, float]]:
    places: Iterable[float] = line.at or range(len(line.values))
    for x, y in zip(places, line.values, strict=True):
        yield x, math.nan if y is None else y


def _band(line: Line, across: _Scale, up: _Scale) -> str:
    """The outline of a line's interval: along its upper bounds, and back along its lower ones."""
    there = list(zip(line.at, line.high, strict=True))
    back = list(zip(line.at, line.low, strict=True))[::-1]
    outline = "L".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in there + back)
    return f"M{outline}z"


def _of_lanes(panel: Panel) -> Chart | None:
    ends = [end for lane in panel.lanes for span in lane.spans for end in span]
    if not ends:
        return None
    left = LEFT + _NAMES
    across = _Scale(min(ends), max(ends), left, WIDTH - RIGHT)
    counted = ", ".join(f"{lane.name}: {len(lane.spans)} stretches" for lane in panel.lanes)
    return Chart(
        title=panel.title,
        said=f"{panel.title}: {counted}",
        height=TOP + LANE * len(panel.lanes) + BOTTOM,
        across=panel.across,
        up="",
        ticks_across=across.ticks,
        ticks_up=tuple((TOP + LANE * (n + 0.5), lane.name) for n, lane in enumerate(panel.lanes)),
        spans=tuple(_spans(panel.lanes, across)),
        left=left,
        named=True,
    )


def interval_chart(title: str, across: str, found: Mapping[str, Interval]) -> Chart:
    """Draw values beneath each other, each with its interval where it has one.

    Args:
        title: What they are.
        across: What the axis is.
        found: A name to its value.
    """
    ends = [end for one in found.values() for end in (one.mean, one.low, one.high)]
    known = [end for end in ends if end is not None]
    left = LEFT + _LONG_NAMES
    scale = _Scale(min(known), max(known), left + 4, WIDTH - RIGHT - 4)
    rows = [(TOP + LANE * (n + 0.5), one) for n, one in enumerate(found.values())]
    return Chart(
        title=title,
        said=f"{title}: " + ", ".join(f"{name} {_said(one)}" for name, one in found.items()),
        height=TOP + LANE * len(rows) + BOTTOM,
        across=across,
        up="",
        ticks_across=scale.ticks,
        ticks_up=tuple((y, _short(name)) for (y, _), name in zip(rows, found, strict=True)),
        segments=tuple(
            (0, f"{scale.place(one.low):.1f},{y:.1f} {scale.place(one.high):.1f},{y:.1f}")
            for y, one in rows
            if one.low is not None and one.high is not None
        ),
        dots=tuple((round(scale.place(one.mean), 1), round(y, 1)) for y, one in rows),
        left=left,
        named=True,
    )


def _said(one: Interval) -> str:
    if one.low is None or one.high is None:
        return f"{one.mean:.4g}"
    return f"{one.mean:.4g} ({one.low:.4g} to {one.high:.4g})"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _spans(lanes: Sequence[Lane], across: _Scale) -> Iterator[tuple[int, float, float, float]]:
    for number, lane in enumerate(lanes):
        for start, end in lane.spans:
            left, right = across.place(start), across.place(end)
            width = max(right - left, _THINNEST)
            yield number, round(left, 1), TOP + LANE * number + 3, round(width, 1)


def ticks(low: float, high: float) -> list[float]:
    """Return a few round values from one bound to the other."""
    if not high > low:
        return [low]
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]
