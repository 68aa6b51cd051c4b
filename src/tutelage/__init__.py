"""Tutelage: one typed, modular training system, from raw data to a traced model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tutelage.api import (
        audit,
        evaluate,
        export,
        load_run,
        pipeline,
        predict,
        predict_lines,
        train,
        watch,
    )
    from tutelage.core.store import Run
    from tutelage.finishing import execute_final_training
    from tutelage.folding import deal_folds
    from tutelage.removing import remove
    from tutelage.restoring import LoadedRun
    from tutelage.tracing import reproduce, verify
    from tutelage.tuning import tune

__all__ = [
    "LoadedRun",
    "Run",
    "audit",
    "deal_folds",
    "evaluate",
    "execute_final_training",
    "export",
    "load_run",
    "pipeline",
    "predict",
    "predict_lines",
    "remove",
    "reproduce",
    "train",
    "tune",
    "verify",
    "watch",
]


_HOMES = {
    "LoadedRun": "tutelage.restoring",
    "Run": "tutelage.core.store",
    "deal_folds": "tutelage.folding",
    "execute_final_training": "tutelage.finishing",
    "remove": "tutelage.removing",
    "reproduce": "tutelage.tracing",
    "tune": "tutelage.tuning",
    "verify": "tutelage.tracing",
}
"""Where a name is defined that is not in `tutelage.api`."""


def __getattr__(name: str) -> object:
    """Import the interface when it is first used, so that ``import tutelage`` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'tutelage' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "tutelage.api")), name)
