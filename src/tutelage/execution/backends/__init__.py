"""`open_backend`: from `execution.*` to the place where runs are executed, imported when asked."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Final

from tutelage.core.errors import ConfigError, RequestError
from tutelage.core.execution import Execution, InProcessExecution
from tutelage.execution.backend import Backend

EXTRAS: Final = {"ray": "ray", "slurm": "submitit", "azure": "azure"}
"""The package that each extra brings."""


def open_backend(settings: Execution) -> Backend:
    """Return the place that ``execution.name`` names, ready for jobs; close it after use.

    The module of that name in this folder has a function ``open_backend`` that takes its section.

    Raises:
        ConfigError: It is `in-process`, which is no place of its own.
        RequestError: The place's extra is not installed, or the place can't be reached.
    """
    name = settings.name
    if isinstance(settings, InProcessExecution):
        hint = "Use execution=subprocess or execution=worker."
        raise ConfigError("this needs processes of its own", where="execution.name", hint=hint)
    opening: Callable[[Execution], Backend] = place_module(name).open_backend
    return opening(settings)


def place_module(name: str) -> ModuleType:
    """Import the module of a place.

    Raises:
        RequestError: Its extra is not installed.
    """
    try:
        return import_module(f"tutelage.execution.backends.{name}")
    except ModuleNotFoundError as error:
        if name not in EXTRAS or (error.name or "").partition(".")[0] != EXTRAS[name]:
            raise
        said = f"execution={name} needs what is not installed: {error.name}"
        hint = f"Install it: pip install 'tutelage[{name}]'."
        raise RequestError(said, hint=hint) from error
