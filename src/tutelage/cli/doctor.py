"""`tutelage doctor`: what is wrong with this machine, or with a run, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json

if TYPE_CHECKING:
    from tutelage.api.doctor import Examined
    from tutelage.cli.checks import Check

MARKS = {"ok": "[green]✓[/]", "missing": "[dim]–[/]", "warning": "[yellow]![/]", "bad": "[red]✗[/]"}
_RUN = "A run, to say why it is not finished: id, unique prefix, path or @last."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help=_RUN)] = None,
    json: Json = False,
) -> None:
    """Check this machine, or say what went wrong with a run and what to do.

    Without a run: versions, devices, memory, disk, extras and the command that installs what is
    missing; exit code 1 if something needed fails. With one: why it failed, stopped or was killed,
    by its record, log and checkpoints, and how it goes on; exit code 1 unless it is sound.

    Examples:

        tutelage doctor @last
    """
    if run is None:
        _check_machine(json)
        return
    from tutelage.api.doctor import examine

    found = examine(run)
    if json:
        print_json(found.summary())
    else:
        _print_examined(found)
    raise typer.Exit(0 if found.sound else 1)


def _check_machine(json: bool) -> None:
    from tutelage.cli.checks import all_checks

    checks = all_checks()
    broken = any(check.state == "bad" for check in checks)
    if json:
        print_json({"ok": not broken, "checks": [check.as_json() for check in checks]})
    else:
        _print(checks)
    raise typer.Exit(1 if broken else 0)


def _print(checks: list[Check]) -> None:
    from rich.markup import escape

    width = max(len(check.name) for check in checks)
    for check in checks:
        line = f"{MARKS[check.state]} {escape(check.name):<{width}}  {escape(check.found)}"
        out.print(line, highlight=False, soft_wrap=True)
        if check.hint:
            out.print(f"  {'':<{width}}  [dim]{escape(check.hint)}[/]", highlight=False)


def _print_examined(found: Examined) -> None:
    from rich.markup import escape

    diagnosis = found.diagnosis
    mark = MARKS["ok" if found.sound else "bad"]
    said = f"{mark} {found.run.id} ({found.evidence.status}): {escape(diagnosis.said)}"
    out.print(said, highlight=False, soft_wrap=True)
    for line in diagnosis.seen:
        out.print(f"  [dim]{escape(line)}[/]", highlight=False, soft_wrap=True)
    for line in diagnosis.advice:
        out.print(f"→ {line}", markup=False, highlight=False, soft_wrap=True)
