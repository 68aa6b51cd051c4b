"""`tutelage report`: one self-contained HTML page about one run, or several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json, RunNames


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
    """Write an HTML page that needs no network: results, curves, settings, lineage.

    Example:
        tutelage report @last --output report.html
    """
    from tutelage.core.files import atomic_file
    from tutelage.core.store import RunStore
    from tutelage.report.page import render_page

    store = RunStore.default()
    found = [store.find(name) for name in runs]
    page = render_page(found)
    path = output or found[0].path / "report.html"
    with atomic_file(path) as file:
        file.write(page.encode())
    if json:
        print_json({"report": str(path), "runs": [run.id for run in found]})
    else:
        out.print(str(path), soft_wrap=True, highlight=False, markup=False)
