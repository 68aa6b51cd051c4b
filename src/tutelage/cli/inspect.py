"""`tutelage tasks | modes | models | data | config`: what there is, and what can be set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli import doctor
from tutelage.cli.console import err, out, print_json, render
from tutelage.cli.options import Json, OptionalTask, Overrides

if TYPE_CHECKING:
    from tutelage.core.config import RunConfig
    from tutelage.task import Task


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("config")(config)
    app.command("tasks")(tasks)
    app.command("modes")(modes)
    app.command("models")(models)
    app.command("data")(data)
    doctor.register(app)


def config(
    task: OptionalTask = None,
    settings: Overrides = None,
    preset: Annotated[str | None, typer.Option(help="A preset of the task.")] = None,
    file: Annotated[Path | None, typer.Option("--config", help="A YAML or JSON file.")] = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print the whole configuration as YAML.")
    ] = False,
    json: Json = False,
) -> None:
    """Explain every setting of a task, or print a configuration that settings lead to."""
    if task is None:
        tasks(json)
        return
    from tutelage.task import load_task

    found = load_task(task)
    if resolved or settings or preset or file:
        from tutelage.api import resolve

        _, whole = resolve(task, settings or (), preset=preset, config=file)
        _print_resolved(whole.model_dump(mode="json"), json)
        return
    from tutelage.cli.config_options import as_tables, options
    from tutelage.hpo.config import StudySettings

    listed, of_studies = options(found.config_type), options(StudySettings)
    presets, spaces = dict(found.presets()), dict(found.spaces())
    if json:
        told = {"options": [o.as_json() for o in listed], "hpo": [o.as_json() for o in of_studies]}
        print_json({"task": task, **told, "presets": presets, "spaces": spaces})
        return
    for table in as_tables([*listed, *of_studies]):
        out.print(render(table))
        out.print()
    out.print(f"Presets (--preset NAME): {', '.join(presets) or 'none'}", highlight=False)
    out.print(f"Search spaces (hpo.space=NAME): {', '.join(spaces) or 'none'}", highlight=False)


def _print_resolved(content: dict[str, object], json: bool) -> None:
    if json:
        print_json(content)
        return
    import yaml

    print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")


def tasks(json: Json = False) -> None:
    """List the tasks, and what is still to be installed for them."""
    from tutelage.core.extras import missing
    from tutelage.core.installing import install_command
    from tutelage.core.records import Table

    found = _tasks(None)
    lacks = {t.name: missing(t.name) for t in found}
    if json:
        shown = {
            t.name: {"summary": t.summary, "models": list(t.models), "missing": lacks[t.name]}
            for t in found
        }
        print_json({"tasks": shown})
        return
    rows = tuple((t.name, t.summary, ", ".join(t.models)) for t in found)
    out.print(render(Table(title="Tasks", columns=("task", "what it does", "models"), rows=rows)))
    for name, packages in lacks.items():
        if packages:
            needs = f"{name} needs {', '.join(packages)}: {install_command(name)}"
            out.print(needs, soft_wrap=True, highlight=False, markup=False)


def modes(task: OptionalTask = None, json: Json = False) -> None:
    """Show which models each training mode can train, task by task."""
    from tutelage.cli.config_options import mode_summaries
    from tutelage.core.records import Table

    found = _tasks(task)
    summaries = mode_summaries()
    able = {
        mode: {t.name: [m for m, entry in t.models.items() if mode in entry.modes] for t in found}
        for mode in summaries
    }
    if json:
        shown = {mode: {"summary": text, "models": able[mode]} for mode, text in summaries.items()}
        print_json({"modes": shown})
        return
    rows = tuple(
        (mode, text, *(", ".join(able[mode][t.name]) or None for t in found))
        for mode, text in summaries.items()
    )
    columns = ("mode", "what it does", *(t.name for t in found))
    out.print(render(Table(title="Models by mode and task", columns=columns, rows=rows)))


def models(task: OptionalTask = None, json: Json = False) -> None:
    """List a task's models and the modes that train them."""
    from tutelage.core.records import Table

    found = _tasks(task)
    if json:
        shown = {
            t.name: {
                name: {"summary": entry.summary, "modes": list(entry.modes)}
                for name, entry in t.models.items()
            }
            for t in found
        }
        print_json({"models": shown})
        return
    for t in found:
        rows = tuple((n, entry.summary, ", ".join(entry.modes)) for n, entry in t.models.items())
        out.print(render(Table(title=t.name, columns=("model", "what it is", "modes"), rows=rows)))


def data(task: OptionalTask = None, json: Json = False) -> None:
    """Show what data a task ships with, the formats it reads, and its data settings."""
    from tutelage.cli.config_options import data_formats, data_layout, options
    from tutelage.core.records import Table

    found = {
        t: [o for o in options(t.config_type) if o.path.startswith("data.")] for t in _tasks(task)
    }
    if json:
        shown = {
            t.name: {
                "embedded": t.data_summary,
                "formats": dict(data_formats(t.config_type)),
                "layout": data_layout(t.config_type),
                "options": [o.as_json() for o in listed],
            }
            for t, listed in found.items()
        }
        print_json({"data": shown})
        return
    for t, listed in found.items():
        out.print(f"[bold]{t.name}[/]: without data.root, {t.data_summary}.", highlight=False)
        if formats := tuple(data_formats(t.config_type).items()):
            out.print()
            out.print(
                render(Table(title="Formats", columns=("format", "what is read"), rows=formats))
            )
        if layout := data_layout(t.config_type):
            out.print(f"\n{layout}", markup=False, highlight=False, soft_wrap=True)
        out.print()
        rows = tuple(o.row() for o in listed)
        out.print(
            render(Table(title="Settings", columns=("setting", "default", "values", ""), rows=rows))
        )


def _tasks(name: str | None) -> list[Task[RunConfig]]:
    """The task of that name, or all installed ones; those that can't be loaded are told."""
    from tutelage.core.errors import RequestError
    from tutelage.task import load_task, task_names

    if name:
        return [load_task(name)]
    found = []
    for one in task_names():
        try:
            found.append(load_task(one))
        except RequestError as error:
            err.print(f"left out: {error}", markup=False, highlight=False, soft_wrap=True)
    return found
