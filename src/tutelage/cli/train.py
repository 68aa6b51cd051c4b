"""`tutelage train`: train a model and show how it did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.console import err, out, print_json
from tutelage.cli.options import Json, Overrides

ORIGIN = {
    "new": "trained",
    "reused": "reused: a finished run with the same fingerprint was found, nothing was trained",
    "resumed": "resumed and finished",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="train")(train)


def train(
    task: Annotated[str, typer.Argument(help="The task, such as can.")],
    overrides: Overrides = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file of settings.")] = None,
    preset: Annotated[str | None, typer.Option(help="One of the task's presets.")] = None,
    json: Json = False,
) -> None:
    """Train a model, from data to record.

    Examples:

        tutelage train can

        tutelage train can mode=autoencoder model=vgae data.root=captures training.max_epochs=5
    """
    from tutelage.api import configure, train_config
    from tutelage.core.store import RunStore

    found, resolved = configure(task, overrides or (), preset=preset, config=config)
    if not json:
        words = f"{resolved.task} · model {resolved.model.name} · mode {resolved.mode.name}"
        err.print(f"[bold]{words}[/]")
    trained = train_config(found, resolved, RunStore.default(), err)
    record = trained.run.record
    if json:
        print_json(record.summary(trained.run.path))
        return
    from tutelage.cli.console import render
    from tutelage.report.tables import results_table

    out.print(render(results_table(record, found.headline)))
    for warning in record.warnings:
        err.print(f"[yellow]note:[/] {warning}")
    out.print(f"{ORIGIN[trained.origin]}  ({record.seconds.get('total', 0):.0f} s of training)")
    out.print(f"run     {trained.run.id}")
    out.print(f"folder  {trained.run.path}", soft_wrap=True)
