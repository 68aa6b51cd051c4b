"""`predict`: a finished run applied to unlabelled data, as tables or as lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tutelage.api.restoring import restore
from tutelage.capabilities import SupportsPredictionLines
from tutelage.core.errors import ConfigError
from tutelage.core.files import Json
from tutelage.core.records import Table
from tutelage.core.store import Run, RunStore


def predict(
    run: Run | str, source: Path | str | None, *overrides: str, home: Path | str | None = None
) -> tuple[Table, ...]:
    """Apply a finished run to unlabelled data, by default its own; a table for each input.

    Raises:
        StoreError: The run isn't finished.
        CheckpointError: Its weights or their card are damaged or were changed.
        DataError: The data are missing or malformed.
    """
    store = RunStore.at(home)
    found = store.find(run)
    task, _, module, data = restore(found, overrides, store, source)
    return task.predict(module, data)


def predict_lines(
    run: Run | str, source: Path | str | None, *overrides: str, home: Path | str | None = None
) -> Iterator[Json]:
    """Apply a finished run to unlabelled data; a JSON object for each sample.

    Raises:
        StoreError: The run isn't finished.
        CheckpointError: Its weights or their card are damaged or were changed.
        ConfigError: The task's predictions are rows of a table: use `predict`.
        DataError: The data are missing or malformed.
    """
    store = RunStore.at(home)
    found = store.find(run)
    task, _, module, data = restore(found, overrides, store, source)
    if not isinstance(task, SupportsPredictionLines):
        hint = "Take them as tables, with `tutelage.predict`."
        raise ConfigError("this task's predictions are rows of a table", where=task.name, hint=hint)
    return task.predict_lines(module, data)
