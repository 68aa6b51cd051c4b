"""A finished run's model, rebuilt from configuration, card and weights; or a part of it alone."""

from __future__ import annotations

from torch import nn

from tutelage.core.config import RunConfig
from tutelage.core.errors import CheckpointError, ConfigError
from tutelage.core.migrations import migrate_config
from tutelage.core.overrides import build_config
from tutelage.core.store import CONFIG, Run
from tutelage.task import Task
from tutelage.training.contracts import TaskModule, Transferable
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


def take_over(run: Run, module: TaskModule, part: str) -> int:
    """Let a part of a module begin with the weights of a finished run's; return how many tensors.

    Args:
        run: The run to take from.
        module: What is about to be trained; it is changed only when everything fits.
        part: Name of the part, one of the module's `transferable`.

    Raises:
        ConfigError: The module has no such part.
        CheckpointError: The run's files are missing, damaged or were changed; it has no such
            part, or one of other shapes.
    """
    if not isinstance(module, Transferable) or part not in module.transferable:
        raise ConfigError(f"a {type(module).__name__} can't take over a {part}", where=run.id)
    mine = module.transferable[part]
    prefix = _prefix(module, mine)
    run.verify_artifacts()
    _, state = ModelManager.read_state_dict(run.path)
    theirs = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    if not theirs:
        said = f"none of its {len(state)} tensors is of a {part}: none is called {prefix}*"
        raise CheckpointError(said, where=run.id, hint="Name a run of a model that has one.")
    ModelManager.verify_state_dict_compatible(mine, theirs, where=run.path)
    mine.load_state_dict(theirs, strict=True)
    module.taken_over(part)
    return len(theirs)


def take_fitting(mine: nn.Module, theirs: nn.Module) -> frozenset[str]:
    """Let a module have another's tensors wherever both have one of a name and a shape.

    Returns:
        The names of those tensors.
    """
    state, given = mine.state_dict(), theirs.state_dict()
    fitting = {n: t for n, t in given.items() if n in state and state[n].shape == t.shape}
    mine.load_state_dict(fitting, strict=False)
    return frozenset(fitting)


def _prefix(module: nn.Module, part: nn.Module) -> str:
    return next(f"{name}." for name, each in module.named_modules() if each is part)
