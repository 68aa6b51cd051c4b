"""The Python interface: what a person can type, a caller can do; both go through the same door.

A room for each thing that can be asked, named after its command. Where a function has the name of
the command, its room has another form of it (`train` lives in `training`): else one hid the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tutelage.api.again import reproduce as reproduce
    from tutelage.api.again import verify as verify
    from tutelage.api.auditing import audit as audit
    from tutelage.api.dispatch import Dispatch as Dispatch
    from tutelage.api.doctor import Examined as Examined
    from tutelage.api.doctor import examine as examine
    from tutelage.api.evaluating import Evaluated as Evaluated
    from tutelage.api.evaluating import evaluate as evaluate
    from tutelage.api.exporting import Exported as Exported
    from tutelage.api.exporting import export as export
    from tutelage.api.final import FinalPlan as FinalPlan
    from tutelage.api.final import execute_final_training as execute_final_training
    from tutelage.api.final import plan_final_training as plan_final_training
    from tutelage.api.folds import deal_folds as deal_folds
    from tutelage.api.hpo import plan_tuning as plan_tuning
    from tutelage.api.hpo import tune as tune
    from tutelage.api.pipelines import pipeline as pipeline
    from tutelage.api.predicting import predict as predict
    from tutelage.api.predicting import predict_lines as predict_lines
    from tutelage.api.removing import Removal as Removal
    from tutelage.api.removing import carry_out as carry_out
    from tutelage.api.removing import plan_removal as plan_removal
    from tutelage.api.removing import remove as remove
    from tutelage.api.restoring import LoadedRun as LoadedRun
    from tutelage.api.restoring import load_run as load_run
    from tutelage.api.restoring import run_config as run_config
    from tutelage.api.serving import service as service
    from tutelage.api.settings import configure as configure
    from tutelage.api.settings import resolve as resolve
    from tutelage.api.specs import study_spec as study_spec
    from tutelage.api.specs import training_spec as training_spec
    from tutelage.api.training import train as train
    from tutelage.api.watching import watch as watch

_ROOMS = {
    "again": ("reproduce", "verify"),
    "auditing": ("audit",),
    "dispatch": ("Dispatch",),
    "doctor": ("Examined", "examine"),
    "evaluating": ("Evaluated", "evaluate"),
    "exporting": ("Exported", "export"),
    "final": ("FinalPlan", "execute_final_training", "plan_final_training"),
    "folds": ("deal_folds",),
    "hpo": ("plan_tuning", "tune"),
    "pipelines": ("pipeline",),
    "predicting": ("predict", "predict_lines"),
    "removing": ("Removal", "carry_out", "plan_removal", "remove"),
    "restoring": ("LoadedRun", "load_run", "run_config"),
    "serving": ("service",),
    "settings": ("configure", "resolve"),
    "specs": ("study_spec", "training_spec"),
    "training": ("train",),
    "watching": ("watch",),
}
"""The public names of each room."""
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        """Import a room when a name of it is first used: most callers need few."""
        if name not in _HOMES:
            raise AttributeError(f"module 'tutelage.api' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"tutelage.api.{_HOMES[name]}"), name)
