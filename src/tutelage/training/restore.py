"""`restore_module`: a finished run's model, rebuilt from its configuration, card and weights."""

from __future__ import annotations

from tutelage.core.config import RunConfig
from tutelage.core.migrations import migrate_config
from tutelage.core.overrides import build_config
from tutelage.core.store import CONFIG, Run
from tutelage.task import Task
from tutelage.training.contracts import TaskModule
from tutelage.training.model_card import read_preprocessing
from tutelage.training.model_manager import ModelManager


def restore_module(task: Task[RunConfig], run: Run) -> TaskModule:
    """Return the model of a finished run with its weights, in evaluation.

    Args:
        task: The run's task.
        run: The run.

    Raises:
        ConfigError: The run's ``config.json`` holds wrong values.
        CheckpointError: Its card or weights are missing, damaged or were changed.
    """
    path = run.path / CONFIG
    config = build_config(task.config_type, [migrate_config(run.settings, path)], where=path)
    learned = read_preprocessing(run.path, task)  # of a damaged card this says more than a digest
    run.verify_artifacts()
    module = task.build(config, learned)
    ModelManager.load_state_dict(run.path, module)
    module.eval()
    return module
