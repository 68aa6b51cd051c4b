"""Loggers beside the run's own metrics file: TensorBoard and Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from tutelage.core.errors import ConfigError
from tutelage.core.installing import install_command
from tutelage.core.store import Run


def build_loggers(names: Sequence[str], run: Run) -> list[Logger]:
    """Return the loggers that `training.loggers` names; W&B writes offline unless it is set up.

    Raises:
        ConfigError: A logger's package is not installed.
    """
    loggers: list[Logger] = []
    for name in names:
        if find_spec(name) is None:
            raise ConfigError(f"the logger {name!r} is not installed", hint=install_command(name))
        if name == "tensorboard":
            loggers.append(TensorBoardLogger(str(run.path), name="tensorboard", version=""))
        else:
            loggers.append(WandbLogger(name=run.id, project="tutelage", save_dir=str(run.path)))
    return loggers
