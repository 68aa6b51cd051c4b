"""`tutelage evaluate`: score a finished run on its own test data or on others."""

from __future__ import annotations

import typer
from rich.markup import escape

from tutelage.cli.console import err, out, print_json
from tutelage.cli.options import Json, Overrides, RunName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="evaluate")(evaluate)


def evaluate(run: RunName, overrides: Overrides = None, json: Json = False) -> None:
    """Score a finished run.

    Example:

        tutelage evaluate @last data.root=other_captures
    """
    from tutelage import api

    result = api.evaluate(run, *(overrides or ()))
    if json:
        print_json(result.summary())
        return
    from tutelage.cli.console import render
    from tutelage.report.tables import summary_tables
    from tutelage.task import load_task

    found = result.evaluation
    scored = result.run.record.model_copy(
        update={"metrics": found.metrics, "baselines": found.baselines, "tables": found.tables}
    )
    for table in summary_tables(scored, load_task(scored.task)):
        out.print(render(table))
    for finding in result.audit.findings:
        err.print(f"[yellow]note:[/] {escape(finding)}", soft_wrap=True)
    out.print(f"data    {result.audit.verdict}")
    out.print(f"result  {result.path}", soft_wrap=True)
