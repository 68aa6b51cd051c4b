"""`tutelage pipeline`: run the stages of a recipe and show how each did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tutelage.cli.completing import complete_recipe
from tutelage.cli.console import err, out, print_json, render, show_line, showing_log
from tutelage.cli.options import Json

if TYPE_CHECKING:
    from tutelage.training.pipeline import Pipeline, PipelineRun, Stage, StageRun

ORIGIN = {"new": "trained", "reused": "reused", "resumed": "resumed"}
_RECIPE = "A recipe's name, such as can-full, or the path of a YAML file of your own."
_SETTINGS = "Settings of every stage, such as data.root=captures, or of one: STAGE.SECTION.FIELD=…"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="pipeline")(pipeline)


def pipeline(
    recipe: Annotated[
        str | None, typer.Argument(help=_RECIPE, autocompletion=complete_recipe)
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[[STAGE.]SECTION.FIELD=VALUE]...", help=_SETTINGS)
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
    json: Json = False,
) -> None:
    """Train the stages of a recipe, later ones from earlier ones.

    A stage whose inputs did not change is reused; one that was cut goes on.

    Examples:

        tutelage pipeline can-full data.root=captures

        tutelage pipeline can-full data.root=captures student.model.hidden=16
    """
    from tutelage.api.dispatch import Dispatch
    from tutelage.core.errors import ConfigError
    from tutelage.core.store import RunStore
    from tutelage.training.pipeline import execute
    from tutelage.training.planning import find_recipe, plan

    if listed:
        _list(json)
        return
    if recipe is None:
        raise ConfigError("no recipe is named", hint="See `tutelage pipeline --list`.")
    store = RunStore.default()
    planned = plan(find_recipe(recipe), store, overrides or ())
    tell = _Progress(planned, quiet=json)
    with showing_log(quiet=json), Dispatch(on_line=None if json else show_line) as launcher:
        done = execute(planned, store, err, tell.started, tell.finished, launcher)
    if json:
        print_json(done.summary())
        return
    _show(planned, done)


def _list(json: bool) -> None:
    from tutelage.core.records import Table
    from tutelage.training.planning import recipes

    found = recipes()
    if json:
        shown = {
            r.name: {"task": r.task, "summary": r.summary, "stages": list(r.stages)} for r in found
        }
        print_json({"recipes": shown})
        return
    rows = tuple((r.name, r.task, r.summary, ", ".join(r.stages)) for r in found)
    columns = ("recipe", "task", "what it makes", "stages")
    out.print(render(Table(title="Recipes", columns=columns, rows=rows)))


class _Progress:
    """A line as a stage begins, and one as it ends."""

    def __init__(self, pipeline: Pipeline, quiet: bool) -> None:
        self.pipeline, self.quiet = pipeline, quiet
        self.numbers = {stage.name: n for n, stage in enumerate(pipeline.stages, 1)}

    def started(self, stage: Stage) -> None:
        """Say what is made, and from which stages."""
        config = stage.config
        words = [f"{key}={value}" for key, value in stage.varied.items()]
        words += [f"model {config.model.name}", f"mode {config.mode.name}"]
        words += [f"from {' and '.join(stage.uses)}"] if stage.uses else []
        self._say(stage, f"[bold]{stage.name}[/] · {' · '.join(words)}")

    def finished(self, stage: Stage, done: StageRun) -> None:
        """Say whether it was trained, reused or resumed, and how long that took."""
        took = f"{ORIGIN[done.origin]} in {done.seconds:.1f} s"
        self._say(stage, f"[bold]{stage.name}[/] {took}: {escape(done.run.id)}")

    def _say(self, stage: Stage, text: str) -> None:
        if not self.quiet:
            count = escape(f"[{self.numbers[stage.name]}/{len(self.numbers)}]")
            err.print(f"{count} {text}", highlight=False, soft_wrap=True)


def _show(pipeline: Pipeline, done: PipelineRun) -> None:
    """Print every stage's scores, the last one's in full, warnings, and the runs."""
    from tutelage.core.records import Table
    from tutelage.report.tables import model_table, stages_table

    records = {name: stage.run.record for name, stage in done.stages.items()}
    name, last = list(records.items())[-1]
    tables = [stages_table(records, pipeline.task.headline)]
    if (more := model_table(last, pipeline.task.beside_headline)).rows:
        tables.append(more.model_copy(update={"title": f"{name} by test split"}))
    if last.mode == "fusion":
        tables += last.tables[:1]  # says whether fusing helps
    rows = tuple(
        (name, ORIGIN[s.origin], f"{s.seconds:.1f}", s.run.id) for name, s in done.stages.items()
    )
    tables.append(Table(title="Runs", columns=("stage", "", "seconds", "run"), rows=rows))
    for table in tables:
        out.print(render(table))
    for warning in dict.fromkeys(w for record in records.values() for w in record.warnings):
        err.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True)
    out.print(f"lineage  tutelage runs lineage {done.run.id}", soft_wrap=True)
