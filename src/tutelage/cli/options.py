"""Arguments that several commands share, each explained once."""

from __future__ import annotations

from typing import Annotated

import typer

_RUN = "Id, unique prefix or path of a run, or @last."
RunName = Annotated[str, typer.Argument(metavar="RUN", help=_RUN)]
RunNames = Annotated[list[str], typer.Argument(metavar="RUN...", help=_RUN)]
OptionalTask = Annotated[str | None, typer.Argument(metavar="[TASK]", help="A task; else all.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.FIELD=VALUE]...", help="Settings; see `tutelage config`."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
