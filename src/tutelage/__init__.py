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
    from tutelage.folding import deal_folds
    from tutelage.tuning import tune

__all__ = [
    "Run",
    "audit",
    "deal_folds",
    "evaluate",
    "export",
    "load_run",
    "pipeline",
    "predict",
    "predict_lines",
    "train",
    "tune",
    "watch",
]


def __getattr__(name: str) -> object:
    """Import the interface when it is first used, so that ``import tutelage`` costs nothing."""
    if name == "Run":
        from tutelage.core.store import Run

        return Run
    if name == "tune":
        from tutelage.tuning import tune

        return tune
    if name == "deal_folds":
        from tutelage.folding import deal_folds

        return deal_folds
    if name in __all__:
        from tutelage import api

        return getattr(api, name)
    raise AttributeError(f"module 'tutelage' has no attribute {name!r}")
