"""A finished run as a web application: which file answers, and what is said of its origin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tutelage.api.exporting import EXPORTED_AS, export
from tutelage.api.restoring import run_config
from tutelage.capabilities import SupportsService
from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, UnknownNameError
from tutelage.core.store import Run, RunStore
from tutelage.task import Task

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tutelage.training.export.card import ExportCard

SERVED = ("onnx", "onnx-int8")
"""The formats of export that a service can answer by."""


def service(
    run: Run | str,
    *overrides: str,
    format: str = "onnx",
    model: Path | str | None = None,
    limits: Mapping[str, int] = MappingProxyType({}),
    home: Path | str | None = None,
) -> ASGIApp:
    """Return a web application that answers by a finished run's ONNX file.

    That is ``model``, or the one in the run's folder, which is exported there if it is missing.
    ``limits`` are the most that a request may ask, by name. It raises what `export` does, and
    `TutelageError` where the task has no service or the file is of another run.
    """
    from tutelage.training.model_card import read_preprocessing

    found = RunStore.at(home).find(run)
    task, config = run_config(found, overrides)
    require_service(task, format)
    file = found.path / EXPORTED_AS[format] if model is None else Path(model)
    if model is None and not file.exists():
        export(found, *overrides, format=format, home=home)
    return build_service(task, config, found, read_preprocessing(found.path, task), file, limits)


def require_service(task: Task[RunConfig], format: str) -> None:
    """Refuse what can't be served before any work.

    Raises:
        UnknownNameError: A service can't answer by such a format.
        ConfigError: The task has no service.
    """
    if format not in SERVED:
        raise UnknownNameError("format", format, SERVED)
    if not isinstance(task, SupportsService):
        hint = "Use `tutelage predict`."
        raise ConfigError("this task has no service", where=task.name, hint=hint)


def build_service(
    task: Task[RunConfig],
    config: RunConfig,
    run: Run,
    preprocessing: Mapping[str, object],
    file: Path,
    limits: Mapping[str, int],
) -> ASGIApp:
    """Return the application that answers by an exported file of a run.

    Raises:
        CheckpointError: The file or its card is missing, damaged, or of another run.
        ConfigError: There is no such limit.
        RequestError: The extra ``serve`` or ``onnx`` is not installed.
    """
    from tutelage.training.export.runtime import read_exported

    assert isinstance(task, SupportsService)
    model, card = read_exported(file)
    return task.service(config, preprocessing, model, card, lineage(run, card), limits)


def lineage(run: Run, card: ExportCard) -> dict[str, object]:
    """Say where a served model comes from, as JSON values."""
    record = run.record
    return {
        "run": record.id,
        "task": record.task,
        "mode": record.mode,
        "model": record.model,
        "created": record.created.isoformat(),
        "parents": [parent.model_dump(mode="json") for parent in record.parents],
        "fingerprints": record.fingerprints.model_dump(mode="json"),
        "metrics": {name: value for name, value in record.metrics.items() if name.count("/") == 1},
        "audit": None if record.audit is None else record.audit.verdict,
        "export": card.model_dump(mode="json", include={"format", "digest", "parity", "kept"}),
    }
