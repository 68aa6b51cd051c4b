"""`tutelage runs verify` and `reproduce`: is a run what it was, and does it come out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from tutelage.cli.console import err, out, print_json, render, showing_log
from tutelage.cli.options import Json, Overrides, RunName

if TYPE_CHECKING:
    from tutelage.final.reproduction import Difference, Reproduction
    from tutelage.final.verification import Verification

_MANY = 8


def verify(run: RunName, json: Json = False) -> None:
    """Rehash all that a run and its ancestors name, and name what changed.

    Weights, card, configuration, kept files, data, folds, parents. Exit code 1 if anything changed.
    What can't be checked, such as data that are no longer there, is listed apart.

    Examples:

        tutelage runs verify @last
    """
    from tutelage import api

    found = api.verify(run)
    if json:
        print_json(found.summary())
    else:
        _show_verified(found)
    if found.changed:
        raise typer.Exit(1)


def _show_verified(found: Verification) -> None:
    for check in found.changed:
        _line(f"[bold red]changed[/]    {check.what}: {escape(check.path)}: {escape(check.said)}")
    for check in found.unchecked:
        what = f"{check.what}: {escape(check.path)}: {escape(check.said)}"
        _line(f"[yellow]unchecked[/]  {what}")
    same = len(found.checks) - len(found.changed) - len(found.unchecked)
    runs = len({check.run for check in found.checks})
    of = f"{runs} runs" if runs > 1 else "the run"
    _line(f"{same} things of {of} are what they were, {len(found.changed)} changed, "
          f"{len(found.unchecked)} can't be checked")  # fmt: skip


def reproduce(run: RunName, overrides: Overrides = None, json: Json = False) -> None:
    """Make a run again from its own configuration, and compare weights and scores to the bit.

    First says what is otherwise than when the run was made: source, packages, machine, data.
    Parents are those of the run. Exit code 1 if anything differs. Only `execution` may be set.

    Examples:

        tutelage runs reproduce @last
    """
    from tutelage import api

    def tell(differences: Sequence[Difference]) -> None:
        for each in differences:
            said = f"{each.what}: {escape(each.then)} then, {escape(each.now)} now"
            err.print(f"[yellow]otherwise[/]  {said}", highlight=False, soft_wrap=True)

    with showing_log(quiet=json):
        made = api.reproduce(run, *(overrides or ()), tell=None if json else tell, console=err)
    if json:
        print_json(made.summary())
    else:
        _show_made(made)
    if not made.identical:
        raise typer.Exit(1)


def _show_made(made: Reproduction) -> None:
    from tutelage.core.records import Table

    weights = made.weights
    if weights.identical:
        _line(f"weights  the same bits, {weights.tensors} tensors")
    else:
        far = "" if weights.largest is None else f", by {weights.largest:.3g} at most"
        _line(f"weights  {len(weights.differing)} of {weights.tensors} tensors differ{far}: "
              f"{', '.join(weights.differing[:_MANY])}")  # fmt: skip
    if not made.metrics:
        _line(f"metrics  all {len(made.run.record.metrics)} are the same")
    else:
        rows = tuple((name, *pair) for name, pair in made.metrics.items())
        title = f"{len(rows)} of {len(made.run.record.metrics)} metrics differ"
        out.print(render(Table(title=title, columns=("metric", "then", "now"), rows=rows)))
    _line(f"run      {made.again.id}")
    _line(f"folder   {made.again.path}")


def _line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)
