"""What a shell completes beside commands and options: tasks, runs, recipes, and settings' names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import typer

_WORD = re.compile(r"[\w.-]+")
_TYPES = ("number", "text", "path")


def complete_task(incomplete: str) -> list[str]:
    """The installed tasks."""
    from tutelage.task import task_names

    return [name for name in task_names() if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """The recipes that ship with the installed tasks."""
    from tutelage.task import load_task, task_names

    recipes = (recipe.name for name in task_names() for recipe in load_task(name).recipes())
    return [name for name in recipes if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """The runs in the store, newest first, and ``@last``."""
    from tutelage.core.store import RunStore

    home = RunStore.default().home
    runs = sorted((path.parent.name for path in home.glob("*/record.json")), reverse=True)
    return [name for name in ("@last", *runs) if name.startswith(incomplete)]


def complete_setting(ctx: typer.Context, incomplete: str) -> list[str]:
    """Settings of the task that was typed, ``path=``; of one that has few values, with these.

    Nothing typed yet gives the sections alone. A single setting of free value is given twice, the
    second time with its default, so that shells do not end the word.
    """
    values = dict(_settings(ctx))
    apart = _path_that_bash_split()
    if apart is not None:
        return [value for value in values.get(apart, []) if value.startswith(incomplete)]
    path, equals, typed = incomplete.partition("=")
    if equals:
        return [f"{path}={value}" for value in values.get(path, []) if value.startswith(typed)]
    if not incomplete:
        parts = (name.partition(".") for name in sorted(values))
        return list(dict.fromkeys(f"{head}{dot or '='}" for head, dot, _ in parts))
    fitting = [name for name in values if name.startswith(incomplete)]
    if len(fitting) > 1:
        return [f"{name}=" for name in fitting]
    return [f"{name}={value}" for name in fitting for value in ("", *values[name])[:9]]


def _settings(ctx: typer.Context) -> Iterator[tuple[str, list[str]]]:
    """Path and likely values of each setting that a command takes."""
    from tutelage.cli.config_options import options
    from tutelage.core.errors import TutelageError
    from tutelage.core.store import RunStore
    from tutelage.hpo.config import StudySettings
    from tutelage.task import load_task

    task, run = ctx.params.get("task"), ctx.params.get("run")
    try:
        if run:
            task = RunStore.default().find(run).record.task
        listed = options(load_task(task).config_type) if task else []
    except TutelageError:  # a name that is no task or run has no settings
        return
    if ctx.command.name == "hpo":
        listed += options(StudySettings)
    for option in listed:
        if not run or option.path.startswith(("data.", "evaluation.")):
            yield option.path, _values(option.values, option.default)


def _values(words: str, default: object) -> list[str]:
    """Values that a setting may have, its default first; none where it is a path."""
    from tutelage.report.settings import as_text

    alternatives = words.split(" | ")
    if "path" in alternatives:
        return []
    named = [word for word in alternatives if _WORD.fullmatch(word) and word not in _TYPES]
    first = [] if default is None and "null" not in named else [as_text(default)]
    return list(dict.fromkeys(text for text in (*first, *named) if _WORD.fullmatch(text)))


def _path_that_bash_split() -> str | None:
    """The setting before ``=``, which ends a word in bash; null elsewhere."""
    words, place = os.environ.get("COMP_WORDS", "").split(), os.environ.get("COMP_CWORD", "")
    if not place.isdecimal() or int(place) < 2:
        return None
    before = [*words, ""][: int(place) + 1]
    if before[-1] == "=":
        return before[-2]
    return before[-3] if before[-2] == "=" else None
