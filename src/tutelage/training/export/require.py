"""What a run must be to be exported, told before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.capabilities import SupportsTransformersExport
from tutelage.core.errors import ConfigError
from tutelage.core.store import Run
from tutelage.task import SupportsExport, load_task
from tutelage.training.export.runtime import require_exporter


def require_export(run: Run, format: str) -> None:
    """Refuse what can't be exported before any work.

    Raises:
        ConfigError: The run's task has no way to export its model, or not so.
        RequestError: The extra ``onnx`` is not installed.
    """
    record, task = run.record, load_task(run.record.task)
    if format == "hf" and not isinstance(task, SupportsTransformersExport):
        said = f"the models of {task.name!r} are none that transformers has"
        raise ConfigError(said, where=run.id)
    able = task.exported_models if isinstance(task, SupportsExport) else ()
    if record.model not in able:
        fits = which_can(record.task, able)
        parts = ", ".join(parent.run for parent in record.parents)
        made = f" It was made from {parts}." if parts else ""
        raise ConfigError(
            f"the model {record.model!r} can't be exported", where=run.id, hint=f"{fits}{made}"
        )
    if format != "hf":
        require_exporter()


def which_can(task: str, able: Sequence[str]) -> str:
    """Say which models of a task can be exported."""
    return f"Of {task!r}, these can: {', '.join(able)}." if able else f"No model of {task!r} can."
