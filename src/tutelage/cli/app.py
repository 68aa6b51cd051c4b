"""The `tutelage` command: its subcommands, and the one place where errors become exit codes."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tutelage.cli import (
    audit,
    evaluate,
    export,
    final,
    folds,
    hpo,
    init,
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
from tutelage.cli.console import err, out
from tutelage.core.errors import RequestError, RunFailedError, TutelageError
from tutelage.core.logs import JsonLines, marked
from tutelage.core.redaction import redact

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


def _show_version(asked: bool) -> None:
    if asked:
        from importlib import metadata

        out.print(f"tutelage {metadata.version('tutelage')}", highlight=False)
        raise typer.Exit


_VERSION = typer.Option(
    "--version", is_eager=True, callback=_show_version, help="Show the version."
)


@app.callback()
def _options(version: Annotated[bool, _VERSION] = False) -> None:
    """Take what is typed before a command."""


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
    init,
    inspect,
    losses,
):
    module.register(app)

_TYPER_INTERRUPTED = 130
"""What typer makes of a `KeyboardInterrupt`."""
FAULTS = "faults.jsonl"
"""Log of errors that are nobody's request's fault, beside the runs."""


def run() -> None:
    """Run the command line; every error is one message and an exit code.

    Raises:
        KeyboardInterrupt: A person pressed Ctrl-C outside of a run.
    """
    try:
        code = app(standalone_mode=False)
    except TutelageError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        if said := error.format_message():  # none where help was asked for by typing nothing
            _tell(_as_request(said, getattr(error, "ctx", None)))
        sys.exit(error.exit_code)
    except typer.Abort:
        err.print("Nothing was done.")
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        _tell(_as_fault(error))
        sys.exit(1)
    if code == _TYPER_INTERRUPTED:
        raise KeyboardInterrupt
    sys.exit(code)


def _tell(error: TutelageError) -> None:
    """Write an error as the one message that a person gets of it."""
    said = escape(redact(str(error)))
    err.print(f"[bold red]error:[/] {said}", soft_wrap=True, highlight=False)


def _as_request(said: str, context: typer.Context | None) -> RequestError:
    """Say what was mistyped as every other refusal is said, and what to type."""
    from tutelage.task import task_names

    command = context.command_path if context else "tutelage"
    hint = f"{command} --help says what it takes."
    if context and {"task", "overrides"} <= {p.name for p in context.command.params}:
        tasks = ", ".join(task_names())
        hint = f"Type {command} TASK section.field=value …; tasks: {tasks}. {hint}"
    return RequestError(said[0].lower() + said[1:].rstrip("."), hint=hint)


def _as_fault(error: Exception) -> RunFailedError:
    """Log what should not have happened with its traceback, and return the message about it."""
    import tempfile

    from tutelage.core.store import RunStore

    home = RunStore.default().home
    folder = home if os.access(home, os.W_OK) else Path(tempfile.gettempdir())
    path = folder / FAULTS
    handler = JsonLines(path, None)
    logger = logging.getLogger("tutelage.cli")
    logger.addHandler(handler)
    said = f"{type(error).__name__}: {error}"
    logger.error("%s", said, exc_info=error, extra=marked(type(error).__name__))
    handler.close()
    where = " or in ".join(filter(None, (_place_in_plugin(error), "tutelage")))
    hint = f"This is a fault in {where}; its traceback is the last line of {path}."
    return RunFailedError(said, hint=hint)


def _place_in_plugin(error: Exception) -> str:
    """The last place in a task of somebody's package that an error came by; empty without one."""
    import traceback
    from importlib import metadata

    from tutelage.task import GROUP

    points = metadata.entry_points(group=GROUP)
    packages = {point.module.partition(".")[0] for point in points} - {"tutelage"}
    frames = traceback.walk_tb(error.__traceback__)
    places = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in frames
        if str(frame.f_globals.get("__name__")).partition(".")[0] in packages
    ]
    return places[-1] if places else ""
