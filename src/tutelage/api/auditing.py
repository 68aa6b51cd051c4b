"""`audit`: leakage and damage in a task's data."""

from __future__ import annotations

from pathlib import Path

from tutelage.api.settings import configure
from tutelage.core.store import RunStore
from tutelage.task import Audit


def audit(task: str, *overrides: str, home: Path | str | None = None) -> Audit:
    """Look for leakage and damage in a task's data.

    Raises:
        DataError: The data are missing, unreadable or malformed.
    """
    found, config = configure(task, overrides)
    return found.audit(config, RunStore.at(home).cache(task))
