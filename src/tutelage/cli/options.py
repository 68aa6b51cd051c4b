"""Arguments that several commands share, each explained once."""

from __future__ import annotations

from typing import Annotated

import typer

from tutelage.cli.completing import complete_run, complete_setting, complete_task

_RUN = "Id, unique prefix or path of a run, or @last."
RunName = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete_run)]
RunNames = Annotated[
    list[str], typer.Argument(metavar="RUN...", help=_RUN, autocompletion=complete_run)
]
TaskName = Annotated[
    str, typer.Argument(help="The task, such as can.", autocompletion=complete_task)
]
OptionalTask = Annotated[
    str | None,
    typer.Argument(metavar="[TASK]", help="A task; else all.", autocompletion=complete_task),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SECTION.FIELD=VALUE]...",
        help="Settings; see `tutelage config`.",
        autocompletion=complete_setting,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
