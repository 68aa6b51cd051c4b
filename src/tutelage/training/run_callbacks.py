"""What watches a run's loop: which callbacks its settings ask for, and what keeps checkpoints."""

from __future__ import annotations

from lightning.pytorch import Callback
from rich.console import Console

from tutelage.core.config import RunConfig
from tutelage.core.store import METRICS, Run
from tutelage.training.averaging import averaging_callbacks
from tutelage.training.callbacks import (
    EarlyStoppingFrom,
    EpochHeartbeat,
    EpochLimit,
    Heartbeat,
    ProgressBar,
    StepLimit,
    TimeBudget,
    without_empty_hooks,
)
from tutelage.training.checkpoints import CheckpointManager, RandomState
from tutelage.training.divergence import DivergenceGuard
from tutelage.training.metrics import MetricsCollector
from tutelage.training.optimization import direction
from tutelage.training.stopping import StopWhenAsked


def checkpoint_manager(
    config: RunConfig, run: Run, monitor: str, ranked: bool, ranked_from: int
) -> CheckpointManager:
    """Return what keeps the checkpoints of a run.

    Args:
        config: The whole run.
        run: Its folder.
        monitor: The metric that ranks them.
        ranked: Whether they are; where nothing is held out, they are not.
        ranked_from: First epoch that counts.
    """
    saved = config.training.checkpoints
    return CheckpointManager(
        run.checkpoints,
        every_n_steps=saved.every_n_steps,
        every_n_epochs=saved.every_n_epochs,
        keep_last=saved.keep_last,
        keep_best=saved.keep_best,
        monitor=monitor if ranked else None,
        mode=direction(monitor),
        ranked_from=ranked_from,
    )


def run_callbacks(
    config: RunConfig,
    run: Run,
    manager: CheckpointManager,
    monitor: str,
    ranked_from: int,
    deadline: float | None,
    console: Console | None,
) -> list[Callback]:
    """Return the callbacks that a run's settings ask for, in their order; the last one saves.

    Args:
        config: The whole run.
        run: Its folder.
        manager: What keeps its checkpoints.
        monitor: The metric that stops it early.
        ranked_from: First epoch that counts for that.
        deadline: When to stop, by `time.monotonic`; null for never.
        console: Where to draw progress, when that is a terminal.
    """
    training = config.training
    collector = MetricsCollector(
        run.path / METRICS, training.log_every_n_steps, training.on_nan != "stop"
    )
    guard = DivergenceGuard(training.on_nan, manager)
    callbacks: list[Callback] = [RandomState(), guard, collector, EpochHeartbeat(collector)]
    if console is not None and console.is_terminal:
        callbacks.append(ProgressBar(console))
    callbacks += averaging_callbacks(training.averaging)
    if training.stop_epoch is not None:
        callbacks.append(EpochLimit(training.stop_epoch))
    if training.max_steps is not None:
        callbacks.append(StepLimit(training.max_steps))
    if training.time_budget is not None:
        callbacks.append(TimeBudget(training.time_budget))
    if training.heartbeat_seconds is not None:
        callbacks.append(Heartbeat(training.heartbeat_seconds))
    if training.early_stopping.patience is not None:
        early = EarlyStoppingFrom(
            ranked_from,
            monitor=monitor,
            patience=training.early_stopping.patience,
            min_delta=training.early_stopping.min_delta,
            mode=direction(monitor),
        )
        callbacks.append(early)
    callbacks.append(StopWhenAsked(manager, deadline, run.id))
    return [without_empty_hooks(callback) for callback in (*callbacks, manager)]
