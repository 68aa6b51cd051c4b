"""Where the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tutelage.core.logs import is_shown
from tutelage.core.redaction import redact

if TYPE_CHECKING:
    from tutelage.core import records

out = Console()
err = Console(stderr=True)
if not out.is_terminal and "COLUMNS" not in os.environ:
    out.width = 200  # rows stay whole in pipes and log files


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object and nothing else; what is no finite number is null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str, allow_nan=False))


def _finite(value: object) -> object:
    """Put null in place of NaN and infinities, for which JSON has no word."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show_line(line: str) -> None:
    """Write a line to standard error, without secrets, around a bar that is being drawn."""
    err.print(redact(line), markup=False, highlight=False, soft_wrap=True)


class _LogLines(logging.Handler):
    """Writes what is logged as plain lines to standard error, around a bar that is being drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        show_line(record.getMessage())


@contextmanager
def showing_log(quiet: bool) -> Iterator[None]:
    """Show warnings as they are logged; unless ``quiet``, epochs too where no bar is drawn."""
    handler = _LogLines(logging.WARNING if quiet or err.is_terminal else logging.INFO)
    handler.addFilter(is_shown)
    logger = logging.getLogger("tutelage")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def plain_table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def render(table: records.Table) -> Group:
    """A record's table as `out.print` takes it: its title, its rows if there are any, its note."""
    from tutelage.report.tables import cell

    rows = [[escape(cell(value)) for value in row] for row in table.rows]
    shown = plain_table("", [escape(name) for name in table.columns], rows)
    for i, column in enumerate(shown.columns):
        if any(isinstance(row[i], str) for row in table.rows):
            column.justify = "left"
    title = [Text(table.title, "table.title")] if table.title else []
    note = [Text(f"{table.note}\n", "table.caption")] if table.note else []
    return Group(*title, *([shown] if rows else []), *note)
