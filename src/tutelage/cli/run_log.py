"""`tutelage runs log`: what a run logged and warned of, as text."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json, RunName
from tutelage.core.errors import UnknownNameError
from tutelage.core.logs import LEVELS, number_of, read_log


def log(
    run: RunName,
    level: Annotated[str, typer.Option(help="The least: debug, info, warning or error.")] = "debug",
    json: Json = False,
) -> None:
    """Show what a run logged and warned of, with the traceback of what ended it.

    Examples:

        tutelage runs log @last --level warning
    """
    from tutelage.core.store import LOG, RunStore

    least = next((number_of(known) for known in LEVELS if known == level), None)
    if least is None:
        raise UnknownNameError("level", level, LEVELS)
    found = RunStore.default().find(run)
    path = found.path / LOG
    entries = [entry for entry in read_log(path) if number_of(entry.level) >= least]
    if json:
        print_json({"run": found.id, "path": str(path), "entries": [asdict(e) for e in entries]})
        return
    for entry in entries:
        said = f"{entry.time:%Y-%m-%d %H:%M:%S} {entry.level:<7} {entry.logger}: {entry.message}"
        out.print(said, markup=False, highlight=False, soft_wrap=True)
        if entry.traceback:
            out.print(entry.traceback, markup=False, highlight=False, soft_wrap=True)
