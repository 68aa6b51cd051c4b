"""`tutelage runs export`: runs as a table for spreadsheets and data frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json
from tutelage.core.errors import RequestError


def export_runs(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv or .parquet.")
    ],
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs; by default all.")
    ] = None,
    curves: Annotated[
        bool, typer.Option("--curves", help="What was logged in training: a row for each value.")
    ] = False,
    json: Json = False,
) -> None:
    """Write runs as a table: scores, baselines, the settings that differ, seconds, parents.

    Without names, all runs but the folds of studies' trials.

    Examples:

        tutelage runs export --output runs.csv

        tutelage runs export @last --curves --output curves.parquet
    """
    from tutelage.cli.table_files import write_columns
    from tutelage.core.records import TRIAL_FOLD
    from tutelage.core.store import RunStore
    from tutelage.report.run_rows import curve_columns, run_columns

    store = RunStore.default()
    if runs:
        found = [store.find(name) for name in runs]
    else:
        found = [r for r in store.runs() if not TRIAL_FOLD.items() <= r.record.tags.items()]
    if not found:
        raise RequestError(f"there are no runs in {store.home}", hint="`tutelage train` makes one.")
    columns = curve_columns(found) if curves else run_columns(found)
    write_columns(columns, output)
    rows = len(columns["run"])
    if json:
        print_json({"path": str(output.absolute()), "rows": rows, "columns": list(columns)})
    else:
        out.print(f"{rows} rows, {len(columns)} columns in {output}", highlight=False)
