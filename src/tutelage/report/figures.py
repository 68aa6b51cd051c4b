"""Figures of a record as inline SVG: charts, images as patches of grey, traces as polylines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.core.records import Figure, Line, Panel
from tutelage.report.charts import Chart, chart

WIDTH, HEIGHT, MARGIN = 640, 90, 4
GREYS = 16
"""Shades that an image is drawn with."""
MOST_LINES = 3
"""Lines of a panel that have a colour of their own."""
Rows = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class DrawnPanel:
    """A panel, ready for the page.

    Args:
        title: What it shows.
        width: Of the drawing.
        height: Of the drawing.
        patches: Shade from 0 to 255, and the path of everything that has it.
        segments: Number of a line, and the points of an unbroken stretch of it.
        names: Of the lines.
        marks: (x, y) of each marked place.
    """

    title: str
    width: int
    height: int
    patches: tuple[tuple[int, str], ...]
    segments: tuple[tuple[int, str], ...]
    names: tuple[str, ...]
    marks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure, ready for the page: its panels without axes, and those with."""

    title: str
    panels: tuple[DrawnPanel, ...]
    charts: tuple[Chart, ...]
    note: str


def drawn(figure: Figure) -> Drawn:
    """Draw a figure."""
    charts = [chart(panel) for panel in figure.panels if panel.across]
    panels = tuple(_panel(panel) for panel in figure.panels if not panel.across)
    return Drawn(figure.title, panels, tuple(filter(None, charts)), figure.note)


def _panel(panel: Panel) -> DrawnPanel:
    lines = panel.lines[:MOST_LINES]
    if panel.image:
        width, height = max(map(len, panel.image)), len(panel.image)
    else:
        width, height = WIDTH, HEIGHT
    return DrawnPanel(
        title=panel.title,
        width=width,
        height=height,
        patches=_patches(panel.image),
        segments=_segments(lines),
        names=tuple(line.name for line in lines),
        marks=tuple((round(x + 0.5, 2), round(y + 0.5, 2)) for y, x in panel.marks),
    )


def _patches(image: Rows) -> tuple[tuple[int, str], ...]:
    """Return a path for each shade: runs of pixels of that shade, row by row."""
    values = [value for row in image for value in row if math.isfinite(value)]
    if not values:
        return ()
    low, high = min(values), max(values)
    scale = (GREYS - 1) / ((high - low) or 1.0)
    paths: list[list[str]] = [[] for _ in range(GREYS)]
    for y, row in enumerate(image):
        shades = [round((v - low) * scale) if math.isfinite(v) else 0 for v in row]
        starts = [x for x in range(len(shades)) if x == 0 or shades[x] != shades[x - 1]]
        for x, end in zip(starts, [*starts[1:], len(shades)], strict=True):
            paths[shades[x]].append(f"M{x},{y}h{end - x}v1h{x - end}z")
    return tuple(
        (round(255 * shade / (GREYS - 1)), "".join(path))
        for shade, path in enumerate(paths)
        if path
    )


def _segments(lines: Sequence[Line]) -> tuple[tuple[int, str], ...]:
    """Return every unbroken stretch of every line, all on one scale."""
    values = [v for line in lines for v in line.values if v is not None and math.isfinite(v)]
    if not values:
        return ()
    low, high = min(values), max(values)
    up = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
    longest = max(len(line.values) for line in lines)
    across = (WIDTH - 2 * MARGIN) / max(1, longest - 1)
    found = []
    for number, line in enumerate(lines):
        segment: list[str] = []
        for place, value in enumerate((*line.values, None)):
            if value is not None and math.isfinite(value):
                y = HEIGHT - MARGIN - (value - low) * up
                segment.append(f"{MARGIN + place * across:.1f},{y:.1f}")
            elif segment:
                found.append((number, " ".join(segment)))
                segment = []
    return tuple(found)
