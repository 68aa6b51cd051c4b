"""Tutelage: one typed, modular training system, from raw data to a traced model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tutelage.api import (
        LoadedRun,
        audit,
        deal_folds,
        evaluate,
        execute_final_training,
        export,
        load_run,
        pipeline,
        predict,
        predict_lines,
        remove,
        reproduce,
        train,
        tune,
        verify,
        watch,
    )
    from tutelage.core.store import Run

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


def __dir__() -> list[str]:
    """What there is, though nothing is imported yet."""
    return [*__all__]


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        """Import the interface when it is first used, so that ``import tutelage`` costs nothing."""
        if name not in __all__:
            raise AttributeError(f"module 'tutelage' has no attribute {name!r}")
        from importlib import import_module

        return getattr(
            import_module("tutelage.core.store" if name == "Run" else "tutelage.api"), name
        )
