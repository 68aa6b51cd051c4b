"""`tutelage train`: train a model and show how it did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tutelage.cli.console import err, out, print_json, show_line, showing_log
from tutelage.cli.options import Json, Overrides, TaskName
from tutelage.cli.report import REPORT, write_own_page
from tutelage.core.errors import TutelageError

if TYPE_CHECKING:
    from tutelage.core.store import Run
    from tutelage.training.launch import Made, Origin

ORIGIN = {
    "new": "trained",
    "reused": "reused: a finished run with the same fingerprint was found, nothing was trained",
    "resumed": "resumed and finished",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="train")(train)


def train(
    task: TaskName,
    overrides: Overrides = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file of settings.")] = None,
    preset: Annotated[str | None, typer.Option(help="One of the task's presets.")] = None,
    json: Json = False,
    result: Annotated[
        Path | None, typer.Option(help="File to write the run's path to, for programs.")
    ] = None,
) -> None:
    """Train a model, from data to record.

    Examples:

        tutelage train can

        tutelage train can mode=autoencoder model=vgae data.root=captures training.max_epochs=5
    """
    from tutelage.api import configure
    from tutelage.api.dispatch import Dispatch
    from tutelage.core.store import RunStore

    found, resolved = configure(task, overrides or (), preset=preset, config=config)
    if resolved.execution.name == "azure":
        from tutelage.api.specs import training_spec
        from tutelage.cli.specs import show_spec

        show_spec(training_spec(resolved, RunStore.default()), json)
        return
    if not json:
        words = f"{resolved.task} · model {resolved.model.name} · mode {resolved.mode.name}"
        data = resolved.data.root or f"embedded: {found.data_summary}"
        err.print(f"[bold]{words}[/]\ndata: {escape(str(data))}", highlight=False, soft_wrap=True)
    with (
        showing_log(quiet=json and result is None),
        _telling(result) as made,
        Dispatch(on_line=None if json else show_line, made=made) as launcher,
    ):
        launched = launcher(found, resolved, store := RunStore.default(), err)
    record = launched.run.record
    if json:
        print_json(record.summary(launched.run.path))
        return
    from tutelage.cli.console import render
    from tutelage.report.tables import summary_tables

    for table in summary_tables(record, found):
        out.print(render(table))
    for warning in record.warnings:
        err.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True)
    out.print(f"{ORIGIN[launched.origin]}  ({record.seconds.get('total', 0):.0f} s of training)")
    out.print(f"run     {launched.run.id}")
    out.print(f"folder  {launched.run.path}", soft_wrap=True)
    page = launched.run.path / REPORT
    if launched.origin != "reused" or not page.exists():
        write_own_page(launched.run, store)
    out.print(f"report  {page}", soft_wrap=True)


@contextmanager
def _telling(path: Path | None) -> Iterator[Made]:
    """Tell a file, if one is given, of the run once there is one, and why it failed if it did."""
    from tutelage.execution.result import Result, write_result

    told = Result()

    def made(run: Run, origin: Origin) -> None:
        nonlocal told
        told = told.made(run, origin)
        if path is not None:
            write_result(path, told)

    try:
        yield made
    except TutelageError as error:
        if path is None:
            raise
        write_result(path, told.failed(error))
        raise typer.Exit(error.exit_code) from error
