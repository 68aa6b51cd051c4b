"""The `tutelage` command: its subcommands, and the one place where errors become exit codes."""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

from tutelage.cli import (
    audit,
    evaluate,
    export,
    final,
    folds,
    hpo,
    inspect,
    losses,
    pipeline,
    predict,
    report,
    runs,
    serve,
    train,
    ui,
    watch,
)
from tutelage.cli.console import err
from tutelage.core.errors import TutelageError

app = typer.Typer(
    name="tutelage",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""Train, evaluate and trace models: one system, real domains, every training mode.

    Begin with [bold]tutelage train can[/bold]. Settings are [bold]section.field=value[/bold];
    [bold]tutelage config can[/bold] lists them all. Runs live under TUTELAGE_HOME (./runs).""",
)
for module in (
    train,
    pipeline,
    hpo,
    evaluate,
    predict,
    ui,
    watch,
    final,
    export,
    serve,
    audit,
    folds,
    report,
    runs,
    inspect,
    losses,
):
    module.register(app)

_TYPER_INTERRUPTED = 130
"""What typer makes of a `KeyboardInterrupt`."""


def run() -> None:
    """Run the command line; every error is one message and an exit code.

    Raises:
        KeyboardInterrupt: A person pressed Ctrl-C outside of a run.
    """
    try:
        app()
    except TutelageError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(error.exit_code)
    except SystemExit as done:
        if done.code == _TYPER_INTERRUPTED:
            raise KeyboardInterrupt from None
        raise
    except BrokenPipeError:
        sys.exit(1)
