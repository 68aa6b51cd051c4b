"""`tutelage doctor`: versions, devices, memory, disk, and what is missing and how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json

if TYPE_CHECKING:
    from tutelage.cli.checks import Check

MARKS = {"ok": "[green]✓[/]", "missing": "[dim]–[/]", "warning": "[yellow]![/]", "bad": "[red]✗[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(json: Json = False) -> None:
    """Check this machine: versions, devices, memory, disk, extras; 1 if something needed fails."""
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
