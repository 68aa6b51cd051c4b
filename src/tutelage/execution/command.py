"""The one command that trains from a configuration file, whatever starts it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def build_training_command(
    config_path: Path,
    overrides: Sequence[str] = (),
    *,
    task: str,
    result: Path | None = None,
    python: str = sys.executable,
) -> tuple[str, ...]:
    """Return the command that trains what a file of settings says.

    Args:
        config_path: YAML or JSON file of settings, such as a run's ``config.json``.
        overrides: Settings over those of the file, as typed: ``training.max_epochs=5``.
        task: The task's name.
        result: File that the command writes the run's id and path to, in JSON; null for none.
        python: The interpreter, which has tutelage installed.
    """
    arguments = training_arguments(config_path, overrides, task=task, result=result)
    return (python, "-m", "tutelage", *arguments)


def training_arguments(
    config_path: Path, overrides: Sequence[str] = (), *, task: str, result: Path | None = None
) -> tuple[str, ...]:
    """Return what follows the program's name in that command."""
    told = () if result is None else ("--result", str(result))
    place = "execution.name=in-process"
    return ("train", task, "--config", str(config_path), "--json", *told, *overrides, place)
