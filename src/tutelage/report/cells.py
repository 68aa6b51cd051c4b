"""How the cells of a table stand on a page: as numbers, short words, prose, or pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from tutelage.core.records import Cell, Table

SHADES: Final = 8
"""Steps from the paper to the darkest cell of a table of counts."""
SHORT, LONG = 20, 60
"""Letters up to which words stay on one line, and beyond which they are prose."""
_NUMBER: Final = re.compile(r"[-+−]?[\d.,]*\d[\d.,]*(e[-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell.

    Args:
        value: What it says.
        column: What its column is called.
        style: Classes, with a blank between them.
        heads: Whether it says what its row is about.
    """

    value: Cell
    column: str
    style: str
    heads: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as it stands on the page.

    Args:
        style: Classes of the table: ``scores`` begin with the model's, ``prose`` has long texts,
            and is a list where the page is narrow.
        columns: Name and classes of each column.
        rows: The cells.
    """

    style: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Entry, ...], ...]


def grid(table: Table, pictures: Collection[str] = ()) -> Grid:
    """Lay a table out.

    Args:
        table: The table.
        pictures: Values that are shown as pictures.
    """
    numbers = [_is_numeric([row[n] for row in table.rows]) for n in range(len(table.columns))]
    rows = []
    for row in table.rows:
        shades = _shades(row) if table.heat else [None] * len(row)
        styles = (
            "" if value in pictures else _style(value, number, shade)
            for value, number, shade in zip(row, numbers, shades, strict=True)
        )
        heads = isinstance(row[0], str) and row[0] not in pictures
        rows.append(
            tuple(
                Entry(value, column, style, heads and not n)
                for n, (value, column, style) in enumerate(
                    zip(row, table.columns, styles, strict=True)
                )
            )
        )
    scores = "scores" if "model" in table.columns[1:2] else ""
    prose = "prose" if any(entry.style == "long" for row in rows for entry in row) else ""
    number = "n h0" if table.heat else "n"
    columns = zip(table.columns, (number if n else "" for n in numbers), strict=True)
    return Grid(f"{scores} {prose}".strip(), tuple(columns), tuple(rows))


def _is_numeric(values: list[Cell]) -> bool:
    """Whether a column is of numbers: one is, or all that it says are written as such."""
    said = [value for value in values if value is not None]
    written = (isinstance(value, str) and _NUMBER.fullmatch(value) for value in said)
    return not said or any(not isinstance(value, str) for value in said) or all(written)


def _style(value: Cell, numeric: bool, shade: int | None) -> str:
    if not isinstance(value, str):
        return f"n h{shade}" if shade is not None else "n" if numeric else ""
    if numeric and _NUMBER.fullmatch(value):
        return "n"
    return "short" if len(value) <= SHORT else "long" if len(value) > LONG else "some"


def _shades(row: tuple[Cell, ...]) -> Iterator[int]:
    """A shade for each cell, from 0 to `SHADES`: its share of its row's counts."""
    counts = [value if isinstance(value, (int, float)) else 0 for value in row]
    total = sum(counts) or 1
    yield from (math.ceil(SHADES * count / total) for count in counts)
