"""`tutelage hpo`: search settings in a study, refit the best ones, and test them once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tutelage.cli.console import err, out, print_json, showing_log
from tutelage.cli.options import Json, Overrides, TaskName

if TYPE_CHECKING:
    from tutelage.hpo.plan import StudyPlan
    from tutelage.hpo.results import StudyFolder
    from tutelage.hpo.run import Origin

BEGUN = {
    "new": "begins",
    "resumed": "goes on",
    "reused": "is finished and is shown again: nothing was trained",
}
_SPACE = "YAML or JSON file of what is searched, or a space of the task: short for hpo.space=…"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="hpo")(hpo)


def hpo(
    task: TaskName,
    overrides: Overrides = None,
    space: Annotated[str | None, typer.Option(help=_SPACE)] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML or JSON file of settings; its section hpo too.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="One of the task's presets.")] = None,
    json: Json = False,
) -> None:
    """Search settings in a study, refit the best ones, and test them once.

    The same command again goes on with a study that was cut, or shows one that is finished.
    Settings hpo.… are the study's own; the others are those of its runs.

    Examples:

        tutelage hpo ner hpo.trials=12 hpo.folds=3 hpo.workers=2

        tutelage hpo can hpo.trials=40 model=gat data.root=captures --space space.yaml
    """
    from tutelage.api.hpo import plan_tuning
    from tutelage.cli.study_view import StudyView
    from tutelage.core.store import RunStore

    given = (*(overrides or ()), *([] if space is None else [f"hpo.space={space}"]))
    plan = plan_tuning(task, given, RunStore.default(), preset=preset, config=config)
    if plan.base.execution.name == "azure":
        from tutelage.api.specs import study_spec
        from tutelage.cli.specs import show_spec

        show_spec(study_spec(plan), json)
        return
    from tutelage.hpo.run import run_study

    view = StudyView(plan, quiet=json)

    def opened(folder: StudyFolder, origin: Origin) -> None:
        if not json:
            err.print(_head(plan, folder, origin), highlight=False, soft_wrap=True)

    with _ended_alike(), showing_log(quiet=json), view:
        tuned = run_study(plan, view.tell, opened)
    if json:
        from tutelage.hpo.finish import study_summary

        print_json(study_summary(tuned.study) | {"origin": tuned.origin})
        return
    _show(tuned.study)


def _head(plan: StudyPlan, folder: StudyFolder, origin: Origin) -> str:
    """Say what is searched, by what it is judged, and whether it begins or goes on."""
    base, hpo = plan.base, plan.hpo
    folds = f"{hpo.total_folds} folds" if hpo.total_folds > 1 else "the task's validation data"
    words = f"{plan.task.name} · model {base.model.name} · mode {base.mode.name}"
    data = base.data.root or f"embedded: {plan.task.data_summary}"
    searched = f"{plan.trials} trials over {', '.join(plan.space.parameters)}"
    return (
        f"[bold]{words}[/]\ndata: {escape(str(data))}\n{escape(searched)}\n"
        f"judged by {escape(plan.metric)} ({plan.direction}) on {folds}; "
        f"{hpo.sampler.name}, pruned by {hpo.pruner.name} and {hpo.fold_pruner.name}\n"
        f"study {folder.id} {BEGUN[origin]}"
    )


def _show(folder: StudyFolder) -> None:
    """Print the study's tables, its models, and where it lies."""
    from tutelage.cli.console import render
    from tutelage.cli.report import write_own_page
    from tutelage.core.store import RunStore
    from tutelage.hpo.finish import study_tables

    for table in study_tables(folder):
        out.print(render(table))
    for refit in folder.record.refits:
        out.print(f"model   {refit.run}  (seed {refit.seed})")
    if (model := folder.record.model) is not None:
        store = RunStore.default()
        out.print(f"report  {write_own_page(store.find(model.run), store)}", soft_wrap=True)
    out.print(f"study   {folder.id}")
    out.print(f"folder  {folder.path}", soft_wrap=True)
    out.print(f"next    tutelage final {folder.id}", soft_wrap=True)


@contextmanager
def _ended_alike() -> Iterator[None]:
    """Let the end that a scheduler asks for be as orderly as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
