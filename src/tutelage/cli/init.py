"""`tutelage init`: a folder to begin a project in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tutelage.cli.completing import complete_task
from tutelage.cli.console import out, print_json
from tutelage.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    folder: Annotated[Path, typer.Argument(help="The folder; made if it is not there.")] = Path(),
    task: Annotated[
        str, typer.Option(help="The task, such as ner.", autocompletion=complete_task)
    ] = "can",
    json: Json = False,
) -> None:
    """Begin a project: settings with what they do, what data are read, a script.

    Nothing is written over.

    Example:

        tutelage init letters --task ner
    """
    from tutelage.cli.project import CONFIG, SCRIPT, project_files
    from tutelage.core.errors import StorageError
    from tutelage.core.files import storage_errors
    from tutelage.task import load_task

    files = project_files(load_task(task))
    if taken := [name for name in files if (folder / name).exists()]:
        hint = "Name another folder, or move it away."
        raise StorageError("is there already", where=folder / taken[0], hint=hint)
    for name, content in files.items():
        path = folder / name
        with storage_errors(path, "Name another folder."):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    if json:
        print_json({"task": task, "folder": str(folder.absolute()), "files": list(files)})
        return
    for name in files:
        out.print(str(folder / name), soft_wrap=True, highlight=False, markup=False)
    into = "" if folder == Path() else f"cd {folder} && "
    out.print(
        f"\nNext: {into}tutelage train {task} --config {CONFIG}, or {into}python {SCRIPT}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
