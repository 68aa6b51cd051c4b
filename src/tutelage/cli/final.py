"""`tutelage final`: the model to ship, trained, exported and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tutelage.cli.console import err, out, print_json, render, showing_log
from tutelage.cli.options import Json, Overrides

if TYPE_CHECKING:
    from tutelage.final.training import FinalRun

DONE = {
    "train": "trained",
    "resume": "gone on with and finished",
    "ship": "trained before",
    "reuse": "reused: the same was asked for before",
}
_SOURCE = "Id, unique prefix or path of a finished run or study, or @last."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="final")(final)


def final(
    source: Annotated[str, typer.Argument(metavar="STUDY|RUN", help=_SOURCE)],
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Train the model to ship by the settings of a run, or of what a study chose.

    On all training data, up to the epoch that was best. final.export=onnx exports it,
    final.gate.… says what it has to keep: exit code 1 if it does not. What it came to, with its
    lineage, is in final.json in the run's folder.

    Examples:

        tutelage final @last final.export=onnx

        tutelage final STUDY final.gate.metric=test/f1 final.gate.minimum=0.4

        tutelage final RUN data.root=new final.combine=append final.policy=resume_if_incomplete
    """
    from tutelage.api.final import execute_final_training, plan_final_training

    plan = plan_final_training(source, *(overrides or ()))
    if plan.config.execution.name == "azure":
        from tutelage.api.specs import training_spec
        from tutelage.cli.specs import show_spec

        show_spec(training_spec(plan.config, plan.store, "final"), json)
        return
    with showing_log(quiet=json):
        made = execute_final_training(source, *(overrides or ()), console=err)
    if json:
        print_json(made.summary())
    else:
        _show(made)
    if not made.manifest.passed:
        raise typer.Exit(1)


def _show(made: FinalRun) -> None:
    from tutelage.cli.report import write_own_page
    from tutelage.core.records import Table
    from tutelage.core.store import RunStore
    from tutelage.report.tables import summary_tables
    from tutelage.task import load_task

    record, manifest = made.run.record, made.manifest
    for table in summary_tables(record, load_task(record.task)):
        out.print(render(table))
    for warning in record.warnings:
        err.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True, highlight=False)
    if manifest.gates:
        rows = tuple(
            (g.what, g.limit, g.value, g.unit, "passed" if g.passed else "FAILED")
            for g in manifest.gates
        )
        columns = ("gate", "limit", "value", "", "")
        out.print(render(Table(title="Gates", columns=columns, rows=rows)))
    for file in manifest.exports:
        _line(f"{file.format:8} {made.run.path / file.path}  {file.bytes:,} bytes")
    kept = "passed" if manifest.gates else "no gate was set"
    if not manifest.exports:
        kept = f"nothing was to be exported; {kept}"
    _line(f"{DONE[made.step]}; {kept if manifest.passed else 'NOT passed: not to be shipped'}")
    _line(f"run      {made.run.id}")
    _line(f"folder   {made.run.path}")
    _line(f"report   {write_own_page(made.run, RunStore.default())}")
    _line(f"next     tutelage predict {made.run.id} INPUT")


def _line(text: str) -> None:
    out.print(escape(text), highlight=False, soft_wrap=True)
