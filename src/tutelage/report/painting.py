"""Drawings as PDF and PNG: what stands in the SVG, painted by matplotlib at the same places."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from tutelage.core.errors import RequestError
from tutelage.core.installing import install_command
from tutelage.report import charts
from tutelage.report.charts import Chart
from tutelage.report.figures import DrawnPanel
from tutelage.report.plates import COLOURS, DASHES, FONT, GRID, INK, LANES, Plate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONTS: Final = [*(name.strip() for name in FONT.split(",")[:-1]), "DejaVu Sans"]
DPI: Final = 600
"""Dots an inch of a PNG."""
_INCH: Final = 25.4
_POINTS: Final = 72
_NUMBER: Final = re.compile(r"-?[\d.]+")
_RUN: Final = re.compile(r"M(\d+),(\d+)h(\d+)")
"""Pixels of one shade beside each other (`tutelage.report.figures`)."""


def painter(form: str) -> Callable[[Plate], bytes]:
    """Return what paints a drawing as a file of a form.

    Raises:
        RequestError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        hint = f"Install it: {install_command('figures')}, or use --format svg."
        raise RequestError(f"{form} needs matplotlib, which is not installed", hint=hint) from error

    def paint(plate: Plate) -> bytes:
        width, height = (length / _INCH for length in plate.size_mm)
        across = charts.WIDTH if isinstance(plate.shape, Chart) else plate.shape.width
        with rc_context({"pdf.fonttype": 42}):  # letters stay letters: journals refuse type 3
            figure = Figure(figsize=(width, height), dpi=DPI)
            axes = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
            axes.set(xlim=(0, across), ylim=(plate.shape.height, -plate.top))
            unit = width * _POINTS / across  # points that a unit of the drawing has
            _Painter(axes, unit).paint(plate)
            buffer = io.BytesIO()
            stamp = {"CreationDate": None} if form == "pdf" else {"Software": None}
            figure.savefig(buffer, format=form, metadata=stamp)
        return buffer.getvalue()

    return paint


class _Painter:
    """Paints on axes whose units are those of the drawing.

    Args:
        axes: Where.
        unit: Points that a unit has on paper.
    """

    def __init__(self, axes: Axes, unit: float) -> None:
        self.axes, self.unit = axes, unit

    def paint(self, plate: Plate) -> None:
        """Paint a drawing with its legend."""
        for number, y, name in plate.legend:
            self._line(number, f"46,{y} 70,{y}")
            self._text(76, y, name, "left")
        if isinstance(plate.shape, Chart):
            self._chart(plate.shape)
        else:
            self._panel(plate.shape)

    def _chart(self, chart: Chart) -> None:
        floor, right = chart.height - charts.BOTTOM, charts.WIDTH - charts.RIGHT
        for x, words in chart.ticks_across:
            self._grid((x, x), (charts.TOP, floor))
            self._text(x, floor + 9.5, words, "center")
        for y, words in chart.ticks_up:
            if not chart.named:
                self._grid((chart.left, right), (y, y))
            left = 0 if chart.named else chart.left - 4
            self._text(left, y, words, "left" if chart.named else "right")
        self._text(right, floor + 24.5, chart.across, "right")
        self._text(0, -6.5, chart.up, "left")
        for number, outline in chart.bands:
            self.axes.fill(*_points(outline), color=COLOURS[number], alpha=0.2, linewidth=0)
        for number, points in chart.segments:
            self._line(number, points)
        for number, x, y, width in chart.spans:
            height = charts.LANE - 6
            corners = [x, x + width, x + width, x], [y, y, y + height, y + height]
            self.axes.fill(*corners, color=LANES[number], linewidth=0)
        for x, y in chart.dots:
            self.axes.plot(x, y, "o", color=COLOURS[0], markersize=7 * self.unit, markeredgewidth=0)

    def _panel(self, panel: DrawnPanel) -> None:
        if panel.patches:
            image = np.zeros((panel.height, panel.width))
            for grey, path in panel.patches:
                for x, y, width in (map(int, run) for run in _RUN.findall(path)):
                    image[y, x : x + width] = grey
            self.axes.imshow(
                image,
                extent=(0, panel.width, panel.height, 0),
                aspect="auto",
                cmap="gray",
                vmin=0,
                vmax=255,
                interpolation="nearest",
            )
        for number, points in panel.segments:
            self._line(number, points)
        across = 2 * self.unit
        thin = across / 4
        for left, up in panel.marks:
            self.axes.plot(left, up, "+", c=COLOURS[1], markersize=across, markeredgewidth=thin)

    def _line(self, number: int, points: str) -> None:
        wide = 1.4 * self.unit
        style = (0, tuple(dash / 1.4 for dash in DASHES[number])) if DASHES[number] else "-"
        self.axes.plot(*_points(points), color=COLOURS[number], linewidth=wide, linestyle=style)

    def _grid(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        self.axes.plot(across, up, color=GRID, linewidth=0.5 * self.unit)

    def _text(self, x: float, y: float, words: str, side: str) -> None:
        size = 10 * self.unit
        self.axes.text(
            x,
            y,
            words,
            ha=side,
            va="center_baseline",
            family=FONTS,
            size=size,
            color=INK,
            parse_math=False,
        )


def _points(written: str) -> tuple[list[float], list[float]]:
    """Return the places along and up of points as SVG writes them."""
    numbers = [float(number) for number in _NUMBER.findall(written)]
    return numbers[::2], numbers[1::2]
