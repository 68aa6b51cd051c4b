"""`tutelage folds`: deal a task's training data into folds, for a cross-validation of one's own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json, Overrides, TaskName

if TYPE_CHECKING:
    from tutelage.core.folds import Split, SplitKind
    from tutelage.core.records import Table


class Kind(StrEnum):
    """How units are dealt, as `tutelage.core.dealing.deal` says."""

    kfold = "kfold"
    stratified = "stratified"
    grouped = "grouped"


_KINDS: dict[Kind, SplitKind] = {
    Kind.kfold: "kfold",
    Kind.stratified: "stratified",
    Kind.grouped: "grouped",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="folds")(folds)


def folds(
    task: TaskName,
    overrides: Overrides = None,
    count: Annotated[int, typer.Option("--folds", help="Folds of one repeat, 2 or more.")] = 5,
    repeats: Annotated[int, typer.Option(help="How often all are dealt, each time anew.")] = 1,
    kind: Annotated[
        Kind | None,
        typer.Option(
            help="Alike in size, in classes too, or refused without groups; by default in classes "
            "where the data know them."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the deal.", min=0)] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path(
        "split.json"
    ),
    json: Json = False,
) -> None:
    """Deal what trains and validates into folds, and write them as a split file.

    What belongs together stays together. Test data are in no fold.

    Examples:

        tutelage folds can data.root=captures --folds 4 --kind stratified

        tutelage train can data.root=captures data.split_file=split.json data.fold=0

        tutelage train can data.root=captures data.fold=all
    """
    from tutelage.api.folds import deal_folds

    chosen = None if kind is None else _KINDS[kind]
    split = deal_folds(
        task, *(overrides or ()),
        kind=chosen, folds=count, repeats=repeats, seed=seed, output=output,
    )  # fmt: skip
    if json:
        held = [len(split.held_out(fold)) for fold in range(split.count)]
        shape = {"units": len(split.units), "folds": split.folds, "repeats": split.repeats}
        print_json(
            {"path": str(output.absolute()), "digest": split.digest, **shape, "held_out": held}
        )
        return
    from tutelage.cli.console import render

    out.print(render(_table(split)))
    groups = "" if split.groups is None else f" in {len(set(split.groups))} groups"
    out.print(f"split  {output}: {split.kind}, {len(split.units)} units{groups}", soft_wrap=True)
    last = split.count - 1
    out.print(f"Train each with data.split_file={output} data.fold=0 … {last}", soft_wrap=True)


def _table(split: Split) -> Table:
    """A row for each fold: how many units it holds out, and how many train."""
    from tutelage.core.records import Table

    held = [len(split.held_out(fold)) for fold in range(split.count)]
    rows = tuple((fold, count, len(split.units) - count) for fold, count in enumerate(held))
    title = f"{split.folds} folds of {len(split.units)} units"
    return Table(title=title, columns=("data.fold", "held out", "train"), rows=rows)
