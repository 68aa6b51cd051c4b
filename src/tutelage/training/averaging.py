"""Averages of the weights (`training.averaging`): exponential, or plain over the end of the run."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from tutelage.core.config import Averaging
from tutelage.training.contracts import TaskModule
from tutelage.training.optimization import planned_steps


class StepAveraging(WeightAveraging):
    """Average after each step of the run's last part; before it, the average is the weights.

    Lightning would validate, save and return the weights of the very beginning until then.

    Args:
        start_fraction: Share of the run's steps after which averaging starts.
        settings: What `torch.optim.swa_utils.AveragedModel` takes.
    """

    def __init__(self, start_fraction: float, **settings: Any) -> None:
        super().__init__(use_buffers=True, **settings)
        self.start_fraction = start_fraction
        self._start_step = 0

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the average takes up the weights after this step."""
        return step_idx is not None and step_idx >= self._start_step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learn how long the run is."""
        assert isinstance(pl_module, TaskModule)
        self._start_step = int(self.start_fraction * planned_steps(pl_module))

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in the module's place."""
        self._follow(pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average as the checkpoint's weights, and the weights beside it."""
        self._follow(pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the module."""
        self._follow(pl_module)
        super().on_train_end(trainer, pl_module)

    def _follow(self, pl_module: LightningModule) -> None:
        """Until averaging has started, take the weights as they are."""
        average = self._average_model
        if average is not None and int(average.n_averaged) == 0:
            average.module.load_state_dict(pl_module.state_dict())


def averaging_callbacks(averaging: Averaging) -> list[Callback]:
    """Return the callback that `training.averaging` asks for, or none.

    Args:
        averaging: Which average (EMA: Polyak & Juditsky 1992; SWA: Izmailov et al. 2018).
    """
    if averaging.name == "ema":
        average = get_ema_multi_avg_fn(averaging.decay)  # type: ignore[no-untyped-call]
        return [StepAveraging(0.0, multi_avg_fn=average)]
    if averaging.name == "swa":
        return [StepAveraging(averaging.start_fraction, multi_avg_fn=_plain_average)]
    return []


def _plain_average(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
    """Take up ``current`` as one of ``count`` + 1; integers, which torch refuses, are copied."""
    if averaged[0].is_floating_point():
        get_swa_multi_avg_fn()(averaged, current, count)  # type: ignore[no-untyped-call]
    else:
        torch._foreach_copy_(averaged, current)
