"""The settings of a run that are worth a column: the model's, and what differs from its default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from tutelage.core.store import Run
from tutelage.report.settings import as_text, defaults_of, settings_of
from tutelage.tracking.names import clipped, metric_name

_ELSEWHERE: Final = ("run", "execution", "tracking", "schema_version", "task", "tutelage_version")
"""What tags say, or what computes nothing."""
_OF_A_FOLD: Final = ("data.fold", "data.split_file")


def parameters(run: Run) -> dict[str, str]:
    """Return a run's parameters, by names and with values that MLflow accepts.

    Of a task that is no longer installed no default is known, so that it shows all its settings.

    Raises:
        StoreError: The settings can't be read.
    """
    return dict(_parameters(run.path))


@lru_cache(maxsize=4096)
def _parameters(path: Path) -> Mapping[str, str]:
    """The same, kept: a run's configuration never changes."""
    settings = settings_of(Run(path))
    usual = _usual(*(as_text(settings.get(name)) for name in ("task", "mode.name", "model.name")))
    return {
        metric_name(key): clipped(as_text(value))
        for key, value in settings.items()
        if key.partition(".")[0] not in _ELSEWHERE
        and (key.startswith("model.") or usual.get(key) != as_text(value))
    }


@lru_cache(maxsize=64)
def _usual(task: str, mode: str, model: str) -> Mapping[str, str]:
    """What is usual; without a mode's own settings where the mode has none that are usual."""
    asked: dict[str, object] = {"task": task, "model.name": model, "execution.name": "in-process"}
    found = defaults_of(asked | {"mode.name": mode}) or defaults_of(asked | {"mode.name": "normal"})
    return {key: as_text(value) for key, value in found.items()}


def in_common(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the parameters that the folds of a trial share."""
    first, *others = found
    return {
        key: value
        for key, value in first.items()
        if key not in _OF_A_FOLD and all(other.get(key) == value for other in others)
    }
