"""From `training.*` to an optimiser and a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau

from tutelage.core.config import Training
from tutelage.training.schedulers import LinearWarmupCosineAnnealingLR, WarmupLR, linear_factor

if TYPE_CHECKING:
    from tutelage.training.contracts import TaskModule


def build_optimizer(module: TaskModule, training: Training) -> Optimizer:
    """Return the optimiser over the module's parameter groups.

    A group's factors multiply the settings of the same name: ``{"lr": 0.1}`` trains that group at
    a tenth of `training.learning_rate`.
    """
    base = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    groups = [
        {"params": parameters, **{k: v * factors.get(k, 1.0) for k, v in base.items()}}
        for factors, parameters in module.parameter_groups()
    ]
    fused = training.precision in ("32", "64")  # Lightning clips no gradients before others
    if training.optimizer == "sgd":
        return SGD(groups, momentum=0.9, fused=fused)
    return (AdamW if training.optimizer == "adamw" else Adam)(groups, fused=fused)


def planned_steps(module: TaskModule) -> int:
    """Return the optimiser steps of the whole run, from the module's trainer and settings."""
    steps = int(module.trainer.estimated_stepping_batches)
    return min(steps, module.training_config.max_steps or steps)


def configure_optimization(module: TaskModule, training: Training) -> Any:
    """Return Lightning's description of optimiser and schedules.

    The schedule's length is that of the whole run, from the trainer; outside of one (in a probe)
    the rate is constant.
    """
    optimizer = build_optimizer(module, training)
    if module._trainer is None:
        return optimizer
    scheduler = training.scheduler
    total = planned_steps(module)
    warmup = round(scheduler.warmup_fraction * total)
    if scheduler.name == "constant" and not warmup:
        return optimizer
    if scheduler.name == "plateau":
        return [optimizer], _plateau(module, optimizer, training, warmup)
    floor = scheduler.minimum_factor
    if scheduler.name == "cosine":
        schedule: WarmupLR = LinearWarmupCosineAnnealingLR(
            optimizer, total, warmup, floor, scheduler.restarts
        )
    elif scheduler.name == "linear":
        schedule = WarmupLR(optimizer, total, warmup, lambda p: linear_factor(p, floor))
    elif scheduler.name == "step":
        cuts = training.max_epochs / scheduler.step_epochs
        schedule = WarmupLR(
            optimizer, total, warmup, lambda p: scheduler.step_factor ** int(p * cuts)
        )
    else:
        schedule = WarmupLR(optimizer, total, warmup, lambda _: 1.0)
    return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def _plateau(
    module: TaskModule, optimizer: Optimizer, training: Training, warmup: int
) -> list[dict[str, object]]:
    """Warm-up by step, then cuts by epoch when the monitored metric stands still."""
    scheduler = training.scheduler
    monitor = training.monitor or module.default_monitor
    plateau = ReduceLROnPlateau(
        optimizer,
        mode=direction(monitor),
        factor=scheduler.step_factor,
        patience=scheduler.step_epochs - 1,  # torch cuts after one epoch more than its patience
        min_lr=training.learning_rate * scheduler.minimum_factor,
    )
    parts: list[dict[str, object]] = [
        {"scheduler": plateau, "interval": "epoch", "monitor": monitor}
    ]
    if warmup:
        rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        parts.insert(0, {"scheduler": rise, "interval": "step"})
    return parts


def direction(monitor: str) -> Literal["min", "max"]:
    """Whether a metric is better small (``min``: its name ends in loss) or large (``max``)."""
    return "min" if monitor.endswith("loss") else "max"
