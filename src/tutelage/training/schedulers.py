"""Learning-rate schedules as pure functions of the step, warm-up included."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Linear rise to 1 over ``warmup_steps`` steps; the first step already moves."""
    return min(1.0, (step + 1) / (warmup_steps + 1))


def cosine_factor(progress: float, minimum: float) -> float:
    """Cosine fall from 1 to ``minimum`` over ``progress`` 0 to 1 (Loshchilov & Hutter 2017)."""
    return minimum + (1 - minimum) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def linear_factor(progress: float, minimum: float) -> float:
    """Straight fall from 1 to ``minimum`` over ``progress`` 0 to 1."""
    return 1 - (1 - minimum) * min(progress, 1.0)


class WarmupLR(LambdaLR):
    """Linear warm-up, then ``shape`` of the share of the remaining steps that is done.

    Args:
        optimizer: Whose learning rates are scaled.
        total_steps: Optimiser steps of the whole run.
        warmup_steps: Steps of the rise.
        shape: Factor on the peak rate as a function of progress (0 to 1) after warm-up.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup_steps: int,
        shape: Callable[[float], float],
    ) -> None:
        span = max(1, total_steps - warmup_steps)

        def factor(step: int) -> float:
            if step < warmup_steps:
                return warmup_factor(step, warmup_steps)
            return shape((step - warmup_steps) / span)

        super().__init__(optimizer, factor)


class LinearWarmupCosineAnnealingLR(WarmupLR):
    """Linear warm-up, then a cosine to ``minimum_factor`` of the peak rate, once or several times.

    Args:
        optimizer: Whose learning rates are scaled.
        total_steps: Optimiser steps of the whole run.
        warmup_steps: Steps of the rise.
        minimum_factor: Share of the peak rate at the end of each fall.
        restarts: How often the rate jumps back to its peak, after equal shares of the steps
            (Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, with cycles of one length).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup_steps: int,
        minimum_factor: float = 0.0,
        restarts: int = 0,
    ) -> None:
        def shape(progress: float) -> float:
            cycles = progress * (restarts + 1)
            done = min(int(cycles), restarts)
            return cosine_factor(cycles - done, minimum_factor)

        super().__init__(optimizer, total_steps, warmup_steps, shape)
