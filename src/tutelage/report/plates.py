"""The drawings of a page as files of their own, for papers: SVG, or PDF and PNG by matplotlib."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tutelage.core.errors import StorageError
from tutelage.core.files import storage_errors, write_files
from tutelage.core.store import Run
from tutelage.report import charts, figures
from tutelage.report.charts import Chart
from tutelage.report.compare import compare
from tutelage.report.curves import curves_of
from tutelage.report.figures import DrawnPanel
from tutelage.report.page import environment
from tutelage.report.pictures import png_files

FORMATS: Final = ("svg", "pdf", "png")
LEGEND: Final = 12
"""Height of a legend's line, in units of the drawing."""
INK, GRID = "#1a1a1a", "#c8c8c8"
COLOURS: Final = ("#0072b2", "#d55e00", "#00795c", "#a0527d", "#555555")
"""Of lines: told apart by colour-blind people, and, with their dashes, in grey (Okabe & Ito)."""
DASHES: Final = ((), (5, 2), (2, 2), (7, 2, 2, 2), (1, 2))
LANES: Final = ("#d55e00", "#0072b2", "#c8c8c8")
FONT: Final = "Helvetica, Arial, Liberation Sans, sans-serif"
COLUMN, PAGE, IMAGE = 86.0, 172.0, 40.0
"""Millimetres of a journal's column, which a chart has; of its page, for a trace; of an image."""
_WORDS: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Plate:
    """A drawing that becomes a file.

    Args:
        name: Of the file, without its ending.
        shape: The drawing.
    """

    name: str
    shape: Chart | DrawnPanel

    @property
    def legend(self) -> tuple[tuple[int, float, str], ...]:
        """Number, height and name of each line; none where there is one line only."""
        names = self.shape.names
        if len(names) < 2:
            return ()
        return tuple((n, -self.top + LEGEND * (n + 0.5), name) for n, name in enumerate(names))

    @property
    def top(self) -> int:
        """Room above the drawing: for the legend, and for the name of the upright axis."""
        head = self.shape.head if isinstance(self.shape, Chart) else 0
        return head + (LEGEND * len(self.shape.names) if len(self.shape.names) > 1 else 0)

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height on paper."""
        if isinstance(self.shape, Chart):
            width, units = COLUMN, charts.WIDTH
        else:
            width, units = IMAGE if self.shape.patches else PAGE, self.shape.width
        return width, width * (self.shape.height + self.top) / units


def plates_of(runs: Sequence[Run]) -> Iterator[Plate]:
    """Yield every drawing of a page: of the comparison, then of each run.

    Raises:
        StoreError: A run can't be read.
    """
    if len(runs) > 1:
        whole = compare(runs)
        yield from _numbered(
            "comparison", ((one.title, one) for one in (*whole.drawn, *whole.curves))
        )
    for number, run in enumerate(runs, 1):
        yield from _numbered(f"run-{number}" if len(runs) > 1 else "", _of_run(run))


def _of_run(run: Run) -> Iterator[tuple[str, Chart | DrawnPanel]]:
    for figure in map(figures.drawn, run.record.figures):
        shapes: tuple[Chart | DrawnPanel, ...] = (*figure.charts, *figure.panels)
        yield from ((f"{figure.title} {shape.title}", shape) for shape in shapes)
    for panel in curves_of(run):
        if (found := charts.chart(panel)) is not None:
            yield f"training {found.title}", found


def _numbered(prefix: str, named: Iterator[tuple[str, Chart | DrawnPanel]]) -> Iterator[Plate]:
    for number, (title, shape) in enumerate(named, 1):
        slug = _WORDS.sub("-", title.lower()).strip("-")[:80]
        yield Plate("-".join(filter(None, (prefix, f"{number:02}", slug))), shape)


def write_plates(
    runs: Sequence[Run], lineage: Mapping[str, str], folder: Path, form: str
) -> list[Path]:
    """Write every drawing of a page as its own file, and the pictures that runs kept.

    Args:
        runs: The runs of the page.
        lineage: A run's id to a drawing of what it was made from, as SVG; it is written as such.
        folder: Where to; it is made where it is not there.
        form: Of the files.

    Raises:
        StoreError: A run can't be read.
        StorageError: A file can't be written.
        RequestError: What the format needs is not installed.
    """
    write = _writer(form)
    files = {f"{plate.name}.{form}": write(plate) for plate in plates_of(runs)}
    files |= {f"lineage-{name}.svg": svg.encode() for name, svg in lineage.items()}
    for run in runs:
        prefix = f"{run.id}-" if len(runs) > 1 else ""
        files |= {f"{prefix}{name}": content for name, content in png_files(run).items()}
    if folder.exists() and not folder.is_dir():
        raise StorageError("this is no folder", where=folder, hint="Name another one.")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return list(write_files(folder, files).values())


def _writer(form: str) -> Callable[[Plate], bytes]:
    if form == "svg":
        return lambda plate: as_svg(plate).encode()
    from tutelage.report.painting import painter

    return painter(form)


def as_svg(plate: Plate) -> str:
    """Write a drawing as SVG that needs nothing else, in colours and sizes of print."""
    width, height = plate.size_mm
    return (
        environment()
        .get_template("plate.svg.j2")
        .render(
            plate=plate,
            chart=plate.shape if isinstance(plate.shape, Chart) else None,
            drawing=charts,
            width=f"{width:.1f}mm",
            height=f"{height:.1f}mm",
            ink=INK,
            grid=GRID,
            colours=COLOURS,
            dashes=DASHES,
            lanes=LANES,
            font=FONT,
        )
    )
