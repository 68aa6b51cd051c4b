"""`tutelage export`: a finished run's model as a file for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json, Overrides, RunName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="export")(export)


def export(
    run: RunName,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File; by default model.onnx in the run's folder."),
    ] = None,
    format: Annotated[str, typer.Option(help="What to write: onnx.")] = "onnx",
    json: Json = False,
) -> None:
    """Write a finished run's model as an ONNX file, checked against the model on real samples.

    Beside it, FILE.json says where it comes from, what goes in, and how far it is off.

    Example:

        tutelage export @last --format onnx --out detector.onnx
    """
    from tutelage import api

    exported = api.export(run, *(overrides or ()), out=output, format=format)
    if json:
        print_json(exported.summary())
        return
    card = exported.card
    off = f"{card.parity.largest_difference:.1g} on {card.parity.samples} samples"
    out.print(f"file     {exported.path}", highlight=False, soft_wrap=True, markup=False)
    out.print(f"size     {card.bytes:,} bytes, {card.parameters:,} parameters", highlight=False)
    out.print(f"inputs   {', '.join(card.inputs)}", highlight=False)
    out.print(f"off by   {off} ({card.parity.runtime})", highlight=False)
