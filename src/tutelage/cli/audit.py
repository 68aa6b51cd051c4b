"""`tutelage audit`: leakage and integrity of a data set."""

from __future__ import annotations

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json, Overrides, TaskName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="audit")(audit)


def audit(
    task: TaskName,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Look for leakage, repeats, missing labels and damage in a task's data.

    Example:

        tutelage audit can data.root=captures
    """
    from tutelage import api

    found = api.audit(task, *(overrides or ()))
    if json:
        tables = [table.model_dump(mode="json") for table in found.tables]
        print_json(found.stamp.model_dump(mode="json") | {"tables": tables})
        return
    from tutelage.cli.console import render

    for table in found.tables:
        out.print(render(table))
    for finding in found.stamp.findings:
        out.print(f"• {finding}", soft_wrap=True, highlight=False, markup=False)
    out.print(f"verdict  {found.stamp.verdict}")
