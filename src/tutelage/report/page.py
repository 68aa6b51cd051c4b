"""One self-contained HTML page about one run or several side by side, from records alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tutelage.core.records import RunRecord, Table
from tutelage.core.store import Run
from tutelage.report import charts, figures, tables
from tutelage.report.cells import Entry, grid
from tutelage.report.curves import curves_of
from tutelage.report.names import short_name
from tutelage.report.pictures import picture, pictures_of
from tutelage.report.settings import as_text, defaults_of, settings_of

_MARKED: Final = re.compile("⟦([^⟦⟧]*)⟧")


@dataclass(frozen=True, slots=True)
class Setting:
    """A line of the configuration."""

    path: str
    value: str
    default: str
    differs: bool


@dataclass(frozen=True, slots=True)
class RunView:
    """What the page shows of one run."""

    id: str
    short: str
    status: str
    record: RunRecord
    headline: str
    value: str
    lowest: str
    baselines: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    further: tuple[Table, ...]
    phases: Table
    figures: tuple[figures.Drawn, ...]
    curves: tuple[charts.Chart, ...]
    settings: tuple[Setting, ...]
    pictures: Mapping[str, str]


def render_page(runs: Sequence[Run], lineage: Mapping[str, str] = MappingProxyType({})) -> str:
    """Write the page.

    Args:
        runs: One run or more; several are also compared with each other.
        lineage: A run's id to a drawing of what it was made from, as SVG.

    Raises:
        StoreError: A run's record, settings or metrics can't be read.
    """
    drawn = {name: picture("svg+xml", svg.encode()) for name, svg in lineage.items()}
    compared = None
    if len(runs) > 1:
        from tutelage.report.compare import compare  # NumPy: the page of one run needs none

        compared = compare(runs)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            runs=[_view(run) for run in runs],
            compared=compared,
            lineage=drawn,
            drawing=charts,
        )
    )


def environment() -> Environment:
    """What templates are read from, and what they can call."""
    found = Environment(
        loader=PackageLoader("tutelage.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"cell": tables.cell, "grid": grid, "marked": _marked}
    found.globals |= {"zip": zip, "described": _described}
    return found


def _marked(text: str) -> Markup:
    """Escape a text; what `tutelage.core.records.marked` marked in it is marked on the page."""
    return Markup(_MARKED.sub(r"<mark>\1</mark>", str(escape(text))))  # escaped just here


def _described(picture: str, row: Sequence[Entry]) -> str:
    """What stands beside a picture, for those who don't see it."""
    said = (entry.value for entry in row)
    return ", ".join(value for value in said if isinstance(value, str) and value != picture)


def _view(run: Run) -> RunView:
    record = run.record
    headline = tables.headline_of(record)
    first = next(iter(tables.splits_of(record)), "")
    beside = {n: column.get(f"{first}/{headline}") for n, column in record.baselines.items()}
    return RunView(
        id=run.id,
        short=short_name(run.id),
        status=run.status,
        record=record,
        headline=f"{headline} on {first}" if first else headline,
        value=tables.cell(tables.headline_value(record, headline)),
        lowest=_lowest(record, headline),
        baselines=tuple((name, tables.cell(value)) for name, value in beside.items()),
        tables=_filled(
            tables.results_table(record, headline),
            tables.group_table(record, headline),
            tables.taken_table(record),
            *record.tables,
        ),
        further=_filled(
            *(tables.split_table(record, split) for split in tables.splits_of(record)),
            tables.confusion_table(record),
        ),
        phases=tables.seconds_table(record),
        figures=tuple(figures.drawn(figure) for figure in record.figures),
        curves=tuple(filter(None, map(charts.chart, curves_of(run)))),
        settings=tuple(_settings(run)),
        pictures=pictures_of(run),
    )


def _lowest(record: RunRecord, headline: str) -> str:
    """The split with the lowest headline metric, in words; nothing where only one has it."""
    keys = {split: f"{split}/{headline}" for split in tables.splits_of(record)}
    values = {split: record.metrics[key] for split, key in keys.items() if key in record.metrics}
    if len(values) < 2:
        return ""
    split = min(values, key=values.__getitem__)
    return f"lowest: {tables.cell(values[split])} on {split}"


def _filled(*found: Table) -> tuple[Table, ...]:
    return tuple(table for table in found if table.rows)


def _settings(run: Run) -> list[Setting]:
    settings = settings_of(run)
    defaults = defaults_of(settings)
    return [
        Setting(
            path,
            as_text(value),
            as_text(defaults[path]) if path in defaults else tables.ABSENT,
            bool(defaults) and path in defaults and value != defaults[path],
        )
        for path, value in settings.items()
        if path != "schema_version"
    ]
