"""What Lightning leaves out when it resumes: random states, and loaders at an epoch's end."""

from __future__ import annotations

import random
from typing import Protocol, runtime_checkable

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.types import LRSchedulerConfig
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tutelage.core.errors import CheckpointError

_KEY = "random_state"


class RandomState(Checkpoint):
    """Saves the random states of every process with a checkpoint and restores them on resume.

    They are restored at the end of ``on_train_start``: after everything that Lightning draws
    while it sets up, before the first batch is fetched, moved or augmented. Lightning calls a
    `Checkpoint` callback after all others, so what other callbacks draw there does no harm; a
    LightningModule must not draw in its own ``on_train_start``.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Tensor] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Add the states of all processes, each tensor of shape (processes, ...)."""
        states = capture(pl_module.device)
        device = pl_module.device
        gathered = {k: trainer.strategy.all_gather(v.to(device)) for k, v in states.items()}
        shape = {name: (trainer.world_size, *value.shape) for name, value in states.items()}
        checkpoint[_KEY] = {name: gathered[name].reshape(shape[name]).cpu() for name in states}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Keep the states of this process until training starts."""
        if trainer.state.fn is not TrainerFn.FITTING:
            return
        states = checkpoint.get(_KEY)
        if not isinstance(states, dict):
            hint = "Train with the RandomState callback to resume exactly."
            raise CheckpointError("the checkpoint holds no random states", hint=hint)
        saved = len(states["python"])
        if saved != trainer.world_size:
            problem = f"taken with {saved} processes, resumed with {trainer.world_size}"
            raise CheckpointError(problem, hint=f"Resume with {saved} processes.")
        # Copies: torch.set_rng_state crashes on a tensor that starts within a larger one.
        self._pending = {k: value[trainer.global_rank].clone() for k, value in states.items()}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore what was loaded, once; where nothing was, let each process draw its own."""
        if self._pending is not None:
            restore(self._pending, pl_module.device)
            self._pending = None
        elif trainer.global_rank:
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)


def capture(device: torch.device) -> dict[str, Tensor]:
    """Return the states of Python's, NumPy's and torch's generators as tensors of fixed shapes."""
    version, words, gauss = random.getstate()
    if version != 3:
        raise CheckpointError(f"Python's random state has version {version}; 3 is known")
    name, key, position, has_gauss, cached = np.random.get_state(legacy=True)
    if name != "MT19937":
        raise CheckpointError(f"NumPy's global generator is {name}; MT19937 is known")
    states = {
        "python": torch.tensor(words, dtype=torch.int64),
        "python_gauss": torch.tensor([gauss is not None, gauss or 0.0], dtype=torch.float64),
        "numpy": torch.from_numpy(np.asarray(key).astype(np.int64)),
        "numpy_rest": torch.tensor([position, has_gauss, cached], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore(states: dict[str, Tensor], device: torch.device) -> None:
    """Set the generators to what `capture` returned."""
    has_gauss, gauss = states["python_gauss"].tolist()
    words = tuple(states["python"].tolist())
    random.setstate((3, words, gauss if has_gauss else None))
    position, has_cached, cached = states["numpy_rest"].tolist()
    key = states["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, int(position), int(has_cached), cached))
    torch.set_rng_state(states["torch"].contiguous())
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].contiguous(), device)


@runtime_checkable
class Resumable(Protocol):
    """A loader whose place in its order can be saved, such as `loaders.ResumableLoader`."""

    def state_dict(self) -> dict[str, object]:
        """Return the place."""
        ...

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Go on from it in the next iteration."""
        ...

    def end_epoch(self) -> None:
        """Count the epoch as over."""
        ...


class ResumeNote(BaseModel):
    """What Lightning's own state lacks for going on as if nothing had happened.

    Attributes:
        step: Optimiser steps done.
        at_epoch_end: Whether it was taken at an epoch's end.
        loaders: States of the training loaders: Lightning restores them only within an epoch.
        plateaus: What each scheduler is told right after the checkpoint, None for nothing:
            Lightning steps ReduceLROnPlateau after the last hook that can take a checkpoint.
        should_stop: Whether a callback has decided to end the training.
        monitor: Name of the monitored metric.
        metric: Its value, where it is known.
        error: Its standard error, where that is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    at_epoch_end: bool
    loaders: list[dict[str, object]]
    plateaus: list[float | None]
    should_stop: bool
    monitor: str | None
    metric: float | None
    error: float | None = None


def take_note(
    trainer: pl.Trainer,
    *,
    at_epoch_end: bool,
    monitor: str | None,
    metric: float | None,
    error: float | None,
) -> ResumeNote:
    """Return the note for a checkpoint that is taken now."""
    pending = at_epoch_end and not trainer.fit_loop.restarting
    return ResumeNote(
        step=trainer.global_step,
        at_epoch_end=at_epoch_end,
        loaders=[loader.state_dict() for loader in _train_loaders(trainer)],
        plateaus=_plateau_values(trainer) if pending else [],
        should_stop=trainer.should_stop,
        monitor=monitor,
        metric=metric,
        error=error,
    )


def apply_note(trainer: pl.Trainer, note: ResumeNote) -> None:
    """Restore what Lightning left out; to be called in ``on_train_start``.

    Raises:
        CheckpointError: Steps, loaders or their batches differ from those of the checkpoint.
    """
    if note.step != trainer.global_step:
        problem = f"taken at step {note.step}, resumed at step {trainer.global_step}"
        raise CheckpointError(f"the checkpoint can't be resumed exactly: {problem}")
    loaders = _train_loaders(trainer)
    if len(loaders) != len(note.loaders):
        problem = f"saved with {len(note.loaders)} resumable training loaders, now {len(loaders)}"
        raise CheckpointError(problem, hint="Resume with the same data module.")
    for loader, state in zip(loaders, note.loaders, strict=True):
        loader.load_state_dict(state)
    if note.plateaus:
        _step_plateaus(trainer, note.plateaus)


def end_epoch(trainer: pl.Trainer) -> None:
    """Do at an epoch's end, before its checkpoint, what Lightning leaves out.

    The training loaders are told that their epoch is over, however many batches were used. In an
    epoch that was resumed, Lightning does not step ReduceLROnPlateau: it is stepped here.
    """
    for loader in _train_loaders(trainer):
        loader.end_epoch()
    if trainer.fit_loop.restarting:
        _step_plateaus(trainer, _plateau_values(trainer))


def _step_plateaus(trainer: pl.Trainer, values: list[float | None]) -> None:
    for config, value in zip(trainer.lr_scheduler_configs, values, strict=True):
        if value is not None and isinstance(config.scheduler, ReduceLROnPlateau):
            config.scheduler.step(value)


def _plateau_values(trainer: pl.Trainer) -> list[float | None]:
    return [_plateau_value(trainer, config) for config in trainer.lr_scheduler_configs]


def _plateau_value(trainer: pl.Trainer, config: LRSchedulerConfig) -> float | None:
    due = (trainer.current_epoch + 1) % config.frequency == 0
    if not (config.reduce_on_plateau and config.interval == "epoch" and due):
        return None
    value = trainer.callback_metrics.get(config.monitor or "")
    return None if value is None else float(value)


def _train_loaders(trainer: pl.Trainer) -> list[Resumable]:
    if trainer.train_dataloader is None:
        return []
    loaders = CombinedLoader(trainer.train_dataloader, "max_size").flattened
    return [loader for loader in loaders if isinstance(loader, Resumable)]
