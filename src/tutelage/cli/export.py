"""`tutelage export`: a finished run's model as a file for other runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.console import out, print_json, render
from tutelage.cli.options import Json, Overrides, RunName

if TYPE_CHECKING:
    from tutelage.core.records import Table
    from tutelage.training.export.card import Latency


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="export")(export)


def export(
    run: RunName,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File, or folder for hf; by default in the run's folder."),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            help="onnx; onnx-int8: 8-bit integers, held to the model's metric; hf: a folder that "
            "transformers opens."
        ),
    ] = "onnx",
    json: Json = False,
) -> None:
    """Write a finished run's model for other runtimes, checked against it on real samples.

    Beside it, FILE.json says where it comes from, what goes in, and how far it is off.

    Examples:

        tutelage export @last --format onnx --out detector.onnx

        tutelage export @last --format onnx-int8
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
    if card.inputs:
        out.print(f"inputs   {', '.join(card.inputs)}", highlight=False)
    out.print(f"off by   {off} ({card.parity.runtime})", highlight=False)
    if (kept := card.kept) is not None:
        now = f"{kept.exported:.4f} of the file, {kept.trained:.4f} of the model, on these samples"
        out.print(f"{kept.metric:8} {now}", highlight=False)
    if card.latency:
        out.print(render(_latency_table(card.latency)))


def _latency_table(rows: Sequence[Latency]) -> Table:
    """What a call costs, one thread and one sample, in milliseconds."""
    from tutelage.core.records import Table

    return Table(
        title="ms a call, one sample, one thread",
        columns=("engine", "shape", "p50", "p95", "p99"),
        rows=tuple(
            (row.engine, "×".join(map(str, row.shape)), row.p50_ms, row.p95_ms, row.p99_ms)
            for row in rows
        ),
    )
