"""`tutelage watch`: a finished run judges a log or a bus while frames come."""

from __future__ import annotations

import json as jsonlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.console import err, showing_log
from tutelage.cli.options import Overrides, RunName

if TYPE_CHECKING:
    from tutelage.capabilities import Watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="watch")(watch)


def watch(
    run: RunName,
    overrides: Overrides = None,
    source: Annotated[
        str,
        typer.Option(
            "--input",
            "-i",
            metavar="INPUT",
            help="A log; - for candump lines on standard input; or INTERFACE:CHANNEL, such as "
            "socketcan:can0.",
        ),
    ] = "-",
    engine: Annotated[
        str,
        typer.Option(help="torch; onnx or, for a gat, compiled: faster for one window at a time."),
    ] = "torch",
    every: Annotated[
        bool, typer.Option("--all", help="Tell every window, not alarms alone.")
    ] = False,
    batch: Annotated[
        int | None,
        typer.Option(help="Windows judged together; by default 1 of a bus, 256 of a log."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line; the last one is the summary.")
    ] = False,
) -> None:
    """Judge a log or a live bus: a line for each alarm, a summary at the end or on Ctrl-C.

    Examples:

        tutelage watch @last --input drive.log

        tutelage watch @last --input socketcan:can0 --engine onnx --json

        candump -L can0 | tutelage watch @last evaluation.k=2 evaluation.n=3
    """
    from tutelage import api

    with (
        showing_log(quiet=False),
        api.watch(
            run, source, *(overrides or ()), engine=engine, batch=batch, every=every
        ) as watching,
        _stopped_by_signals(watching),
    ):
        try:
            for verdict in watching.verdicts():
                line = jsonlib.dumps(dict(verdict.values)) if json else verdict.text
                print(line, flush=True)
        finally:
            summary = dict(watching.summary())
            if json:
                print(jsonlib.dumps({"summary": summary}), flush=True)
            else:
                _show(summary)


def _show(summary: dict[str, object]) -> None:
    for name, value in summary.items():
        said = "–" if value in (None, {}) else value
        err.print(f"{name.replace('_', ' '):18} {said}", markup=False, highlight=False)


@contextmanager
def _stopped_by_signals(watching: Watch) -> Iterator[None]:
    """Let Ctrl-C, or a service manager's SIGTERM, end the watch; a second one ends the program."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(*_: object) -> None:
        watching.stop()
        restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
