"""What a record shows: tables, and figures of lines, lanes and images."""

from __future__ import annotations

import math
from typing import Self

from pydantic import field_serializer, model_validator

from tutelage.core.sections import Part

Cell = str | float | int | None


class Table(Part):
    """A table that a task adds to its report: a title, column names and rows.

    Args:
        title: What it shows.
        columns: Names of its columns.
        rows: Its cells.
        note: A sentence beneath it.
        first: Whether it is one of those that a person sees right after training.
        heat: Whether its counts are shaded by their share of their row.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    first: bool = False
    heat: bool = False

    @model_validator(mode="after")
    def _even(self) -> Self:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row has not {len(self.columns)} cells")
        return self

    @field_serializer("rows", when_used="json")
    def _rows_for_json(self, rows: tuple[tuple[Cell, ...], ...]) -> list[list[Cell]]:
        """JSON has no NaN and no infinity: they become null."""
        return [
            [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
            for row in rows
        ]


def marked(text: str) -> str:
    """Mark a part of a cell's text: pages show it as marked, terminals between brackets."""
    return f"⟦{text}⟧"


class Line(Part):
    """A line of a drawing.

    Args:
        name: What it is.
        values: Its heights; null leaves a gap.
        at: Where each value stands along the axis, ascending; evenly spaced where there are none.
        low: Lower bounds of an interval about each value, where they are known.
        high: Upper ones.
    """

    name: str
    values: tuple[float | None, ...]
    at: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class Lane(Part):
    """A row of a drawing along an axis.

    Args:
        name: What it is.
        spans: Beginning and end of each stretch of it.
    """

    name: str
    spans: tuple[tuple[float, float], ...]


class Panel(Part):
    """One drawing of a figure: lines over a common axis, lanes along one, or an image.

    Args:
        title: What it shows.
        lines: Lines of one scale.
        image: Rows of an image, the top one first; dark is low.
        marks: Places (row, column) that are marked on the image.
        lanes: Rows along the axis, the top one first.
        across: What the axis is, with its unit; lines without one are a trace that has no axes.
        up: What the lines' heights are.
    """

    title: str
    lines: tuple[Line, ...] = ()
    image: tuple[tuple[float, ...], ...] = ()
    marks: tuple[tuple[float, float], ...] = ()
    lanes: tuple[Lane, ...] = ()
    across: str = ""
    up: str = ""


class Figure(Part):
    """Drawings that a task adds to its report."""

    title: str
    panels: tuple[Panel, ...]
    note: str = ""
