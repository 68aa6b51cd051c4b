"""`tutelage losses [NAME]`: what losses there are, what they compute and who proposed them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.console import out, print_json, render
from tutelage.cli.options import Json

if TYPE_CHECKING:
    from tutelage.losses import LossEntry

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="A loss; else all.")]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("losses")(losses)


def losses(name: Name = None, json: Json = False) -> None:
    """List the losses: a line, a formula and a paper each; of one, its options as well."""
    from tutelage.core.records import Table
    from tutelage.losses import LOSSES

    if name is not None:
        _one(LOSSES.get(name), json)
        return
    entries = sorted(
        {entry.name: entry for entry in map(LOSSES.get, LOSSES)}.values(),
        key=lambda entry: (entry.family, entry.name),
    )
    if json:
        print_json({"losses": {entry.name: _described(entry) for entry in entries}})
        return
    for family in dict.fromkeys(entry.family for entry in entries):
        rows = tuple(
            (" = ".join((e.name, *e.aliases)), f"{e.summary}\n{e.formula}\n{e.paper}")
            for e in entries
            if e.family == family
        )
        columns = ("loss", "what it is, its formula, its paper")
        out.print(render(Table(title=family, columns=columns, rows=rows)))
    out.print("tutelage losses NAME shows a loss's options.", highlight=False)


def _one(entry: LossEntry, json: bool) -> None:
    if json:
        print_json({"losses": {entry.name: _described(entry)}})
        return
    out.print(f"[bold]{' = '.join((entry.name, *entry.aliases))}[/] ({entry.family})\n")
    for line in (entry.formula, entry.paper, "", inspect.getdoc(entry.loss) or ""):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    defaults = {option: _default(value) for option, value in entry.options.items()}
    shown = ", ".join(f"{option}={value}" for option, value in defaults.items())
    out.print(f"\nDefaults: {shown or 'no options'}", markup=False, highlight=False)


def _described(entry: LossEntry) -> dict[str, object]:
    return {
        "family": entry.family,
        "summary": entry.summary,
        "formula": entry.formula,
        "paper": entry.paper,
        "aliases": list(entry.aliases),
        "options": {option: _default(value) for option, value in entry.options.items()},
    }


def _default(value: object) -> object:
    return "required" if value is inspect.Parameter.empty else value
