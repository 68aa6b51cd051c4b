"""`check_folds`: refuses folds that a task, or the way of training, does not have."""

from __future__ import annotations

from importlib.util import find_spec

from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError, RequestError
from tutelage.task import SupportsFolds, SupportsPredictionLines, Task


def check_folds(task: Task[RunConfig], config: RunConfig) -> None:
    """Refuse, before any work, folds that the task, or the mode, does not have.

    Raises:
        ConfigError: The task has no folds, or something needs held-out data where there are none.
        RequestError: What writes a fold's predictions is not installed.
    """
    if config.data.fold is None:
        return
    if not isinstance(task, SupportsFolds):
        hint = "Leave data.fold and data.split_file out."
        raise ConfigError("this task's data have no folds", where=task.name, hint=hint)
    if config.mode.name == "fusion":
        said = "a fusion is fitted to what its experts' own split holds out: it has no folds"
        raise ConfigError(said, where="data.fold", hint="Leave data.fold and data.split_file out.")
    if config.data.fold == "all":
        _refuse_held_out(config)
    elif not isinstance(task, SupportsPredictionLines) and find_spec("pyarrow") is None:
        hint = "Install it: pip install pyarrow."
        raise RequestError("predictions of a fold are kept as Parquet, by pyarrow", hint=hint)


def _refuse_held_out(config: RunConfig) -> None:
    """Refuse what decides by held-out data in a run that trains on all of them.

    Raises:
        ConfigError: Something does.
    """
    training, needs = config.training, []
    if training.early_stopping.patience is not None:
        needs.append("training.early_stopping.patience")
    if training.scheduler.name == "plateau":
        needs.append("training.scheduler.name=plateau")
    if training.monitor is not None:
        needs.append("training.monitor")
    if needs:
        raise ConfigError(
            f"data.fold=all holds nothing out, which {' and '.join(needs)} would need",
            where="data.fold",
            hint="Leave it out, or train with a fold of data.split_file.",
        )
