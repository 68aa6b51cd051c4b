"""`tutelage report`: one self-contained HTML page about one run, or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json, RunNames

if TYPE_CHECKING:
    from tutelage.core.store import Run, RunStore

REPORT: Final = "report.html"
"""The page's name in a run's folder."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    runs: RunNames,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; by default report.html in the run.")
    ] = None,
    json: Json = False,
) -> None:
    """Write an HTML page that needs no network: results, figures, curves, lineage, settings.

    Example:
        tutelage report @last --output report.html
    """
    from tutelage.core.store import RunStore

    store = RunStore.default()
    found = [store.find(name) for name in runs]
    path = output or found[0].path / REPORT
    write_page(found, store, path)
    if json:
        print_json({"report": str(path), "runs": [run.id for run in found]})
    else:
        out.print(str(path), soft_wrap=True, highlight=False, markup=False)


def write_page(runs: Sequence[Run], store: RunStore, path: Path) -> None:
    """Write the page of one run or of several side by side.

    Raises:
        StoreError: A run's record, settings or metrics can't be read.
        StorageError: The file can't be written.
    """
    from tutelage.core.files import atomic_file
    from tutelage.final.ancestry import ancestry
    from tutelage.final.drawing import draw
    from tutelage.report.page import render_page

    page = render_page(runs, {run.id: draw(ancestry(run, store)) for run in runs})
    with atomic_file(path) as file:
        file.write(page.encode())
