"""Averages of the weights (`training.averaging`): exponential, or plain over the end of the run."""

from __future__ import annotations

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from tutelage.core.config import Averaging


class _StepAveraging(WeightAveraging):
    """Average after each step from ``start_step`` on."""

    def __init__(self, start_step: int, **settings: object) -> None:
        super().__init__(use_buffers=True, **settings)  # type: ignore[arg-type]
        self.start_step = start_step

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the average takes up the weights after this step."""
        return step_idx is not None and step_idx >= self.start_step


def averaging_callbacks(averaging: Averaging, total_steps: int) -> list[Callback]:
    """Return the callback that `training.averaging` asks for, or none.

    Args:
        averaging: Which average (EMA: Polyak & Juditsky 1992; SWA: Izmailov et al. 2018).
        total_steps: Optimiser steps of the whole run.
    """
    if averaging.name == "ema":
        average = get_ema_multi_avg_fn(averaging.decay)  # type: ignore[no-untyped-call]
        return [_StepAveraging(0, multi_avg_fn=average)]
    if averaging.name == "swa":
        start = int(averaging.start_fraction * total_steps)
        average = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]
        return [_StepAveraging(start, multi_avg_fn=average)]
    return []
