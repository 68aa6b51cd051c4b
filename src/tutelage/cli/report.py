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
COMPARISON: Final = "comparison.html"
"""The page's name in a run's folder."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    runs: RunNames,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File; report.html in the run; of several, comparison.html here."
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write every drawing as a file there, and no page."),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="Of the drawings: svg, pdf or png.")
    ] = "svg",
    json: Json = False,
) -> None:
    """Write an HTML page that needs no network: results, figures, curves, lineage, settings.

    Several runs are set beside each other: what differs, and whether it may be chance.

    Examples:

        tutelage report @last --output report.html

        tutelage report 20261122-0930 20261122-1015 --output both.html

        tutelage report @last --figures figures --format pdf
    """
    from tutelage.core.store import RunStore

    store = RunStore.default()
    found = [store.find(name) for name in runs]
    if figures is not None:
        written = write_figures(found, store, figures, form)
        if json:
            print_json({"figures": [str(path) for path in written], "runs": [r.id for r in found]})
        else:
            _print_paths(written)
        return
    path = output or (found[0].path / REPORT if len(found) == 1 else Path(COMPARISON))
    write_page(found, store, path)
    if json:
        print_json({"report": str(path), "runs": [run.id for run in found]})
    else:
        _print_paths([path])


def _print_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        out.print(str(path), soft_wrap=True, highlight=False, markup=False)


def write_page(runs: Sequence[Run], store: RunStore, path: Path) -> None:
    """Write the page of one run or of several side by side.

    Raises:
        StoreError: A run's record, settings or metrics can't be read.
        StorageError: The file can't be written.
    """
    from tutelage.core.files import atomic_file
    from tutelage.report.page import render_page

    page = render_page(runs, _lineage(runs, store))
    with atomic_file(path) as file:
        file.write(page.encode())


def write_own_page(run: Run, store: RunStore) -> Path:
    """Write the page of a run into its folder, and return where it is.

    Raises:
        StoreError, StorageError: As `write_page`.
    """
    path = run.path / REPORT
    write_page([run], store, path)
    return path


def write_figures(runs: Sequence[Run], store: RunStore, folder: Path, form: str) -> list[Path]:
    """Write every drawing of the page of some runs as its own file.

    Raises:
        RequestError: There is no such format, or what it needs is not installed.
        StoreError: A run's record, settings or metrics can't be read.
        StorageError: A file can't be written.
    """
    from tutelage.core.errors import UnknownNameError
    from tutelage.report.plates import FORMATS, write_plates

    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS, where="--format")
    return write_plates(runs, _lineage(runs, store), folder, form)


def _lineage(runs: Sequence[Run], store: RunStore) -> dict[str, str]:
    from tutelage.final.ancestry import ancestry
    from tutelage.final.drawing import draw

    return {run.id: draw(ancestry(run, store)) for run in runs}
