"""`tutelage predict`: apply a finished run to data without labels."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.console import err, print_json
from tutelage.cli.options import Json, Overrides, RunName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="predict")(predict)


def predict(
    run: RunName,
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="File or folder of data.")],
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV file; by default standard output.")
    ] = None,
    json: Json = False,
) -> None:
    """Apply a finished run to data, labelled or not: one CSV row a sample.

    Example:

        tutelage predict @last drive.log --output windows.csv
    """
    from tutelage import api
    from tutelage.core.files import storage_errors

    tables = api.predict(run, source, *(overrides or ()))
    if json:
        print_json({"tables": [table.model_dump(mode="json") for table in tables]})
        return
    rows = [["input", *tables[0].columns]]
    rows += [[table.title, *map(str, row)] for table in tables for row in table.rows]
    if output is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    with storage_errors(output), output.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    err.print(f"{len(rows) - 1} rows in {output}")
