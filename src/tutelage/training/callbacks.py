"""What a person sees while a model trains: a heartbeat an epoch for logs, a bar for terminals."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor

from tutelage.training.contracts import TaskModule
from tutelage.training.curriculum import CurriculumData, CurriculumOrder
from tutelage.training.metrics import MetricsCollector
from tutelage.training.optimization import planned_steps
from tutelage.training.regularizers import ElasticWeightConsolidation

log: Final = logging.getLogger(__name__)
_STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


def without_empty_hooks(callback: Callback) -> Callback:
    """Drop the hooks of a step that a callback leaves empty: Lightning calls only what it can."""
    for name in _STEP_HOOKS:
        if getattr(type(callback), name) is getattr(Callback, name):
            setattr(callback, name, None)
    return callback


class EpochLimit(Callback):
    """End the run after so many epochs, while its schedule is that of more.

    Args:
        stop_epoch: Epochs of the whole run.
    """

    def __init__(self, stop_epoch: int) -> None:
        self.stop_epoch = stop_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask for the end when the last epoch is done, before its checkpoint is taken."""
        if trainer.current_epoch + 1 >= self.stop_epoch:
            trainer.should_stop = True


class StepLimit(Callback):
    """End the run after so many optimiser steps, with a validation, as an epoch ends.

    Lightning's own ``max_steps`` would leave the last weights without a score, and repeats an
    epoch's end when it resumes there.

    Args:
        max_steps: Optimiser steps of the whole run.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask for the end when the last step is done."""
        if trainer.global_step >= self.max_steps:
            trainer.should_stop = True


class TimeBudget(Callback):
    """End the run after so many seconds of training, with a validation, as an epoch ends.

    Args:
        seconds: Of the whole run: those before an interruption count.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._before, self._started = 0.0, 0.0

    @property
    def spent(self) -> float:
        """Seconds of training so far."""
        return self._before + time.monotonic() - self._started

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._started = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask for the end when the time is up; all processes together."""
        if trainer.strategy.reduce_boolean_decision(self.spent >= self.seconds, all=False):
            log.info("the time budget of %.0f s is spent", self.seconds)
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Seconds spent."""
        return {"spent": self.spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._before = state_dict["spent"]


class Heartbeat(Callback):
    """Log a line every so many seconds, so that who reads the log sees a long epoch move on.

    Args:
        seconds: Between two lines.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the line, if it is time to."""
        moment = time.monotonic()
        if moment - self._last < self.seconds:
            return
        self._last = moment
        assert isinstance(pl_module, TaskModule)
        steps = (trainer.global_step, planned_steps(pl_module))
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        log.info("alive: epoch %d, step %d/%d, loss=%.4g", trainer.current_epoch + 1, *steps, loss)


class EpochHeartbeat(Callback):
    """Log one line an epoch: losses, validation metrics, seconds. It reads well in a file.

    Args:
        collector: Where the numbers come from.
    """

    def __init__(self, collector: MetricsCollector) -> None:
        self.collector = collector
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time: an epoch that is resumed has no start of its own."""
        self._started = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the line. It runs after the collector's own epoch end."""
        names = {"loss": "epoch/loss"} | {
            name: name for name in self.collector.latest if name.startswith("val/")
        }
        scores = " ".join(
            f"{label}={self.collector.latest[name]:.4g}"
            for label, name in names.items()
            if name in self.collector.latest
        )
        epoch, seconds = trainer.current_epoch + 1, time.monotonic() - self._started
        log.info("epoch %d/%s %s %.1f s", epoch, trainer.max_epochs, scores, seconds)


class ProgressBar(Callback):
    """One bar for the whole run, drawn a few times a second, on a terminal alone.

    Args:
        console: Where to draw.
    """

    REFRESH_SECONDS = 0.2

    def __init__(self, console: Console) -> None:
        self.progress: Progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            TextColumn("{task.fields[rate]} loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            auto_refresh=False,
        )
        self._drawn = 0.0
        self._first: tuple[float, int] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin drawing."""
        assert isinstance(pl_module, TaskModule)
        total = planned_steps(pl_module)
        self.task: TaskID = self.progress.add_task("training", total=total, rate="", loss="…")
        self._first = (time.monotonic(), trainer.global_step)
        self.progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw, if it is time to."""
        moment = time.monotonic()
        if moment - self._drawn < self.REFRESH_SECONDS or self._first is None:
            return
        self._drawn = moment
        started, first = self._first
        rate = (trainer.global_step - first) / max(1e-9, moment - started)
        self.progress.update(
            self.task,
            completed=trainer.global_step,
            description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            rate=f"{rate:.1f}/s",
            # Lightning divides the loss by the batches that are accumulated.
            loss=f"{float(outputs['loss']) * trainer.accumulate_grad_batches:.4f}",
        )
        self.progress.refresh()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear the bar."""
        self.progress.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Clear the bar."""
        self.progress.stop()


class EarlyStoppingFrom(EarlyStopping):
    """Lightning's early stopping, which does not look at the first epochs.

    Args:
        first: The first epoch that counts, from 0.
        options: Lightning's own.
    """

    def __init__(self, first: int, **options: Any) -> None:
        super().__init__(**options)
        self.first = first

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, if the epoch counts."""
        if trainer.current_epoch >= self.first:
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, if the epoch counts."""
        if trainer.current_epoch >= self.first:
            super().on_train_epoch_end(trainer, pl_module)


class CurriculumCallback(Callback):
    """Say which stage begins; at a stage's end, let the module hold on to what it has learned.

    Args:
        order: The stages and their batches.
        samples: Samples of a stage on which the weights' importance is measured.
    """

    def __init__(self, order: CurriculumOrder, samples: int) -> None:
        self.order: CurriculumOrder = order
        self.samples: int = samples

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the stage, where one begins."""
        curriculum = self.order.curriculum
        number = curriculum.stage_of(trainer.current_epoch)
        stage = curriculum.stages[number]
        if stage.first_epoch == trainer.current_epoch:
            mix = "" if stage.ratio is None else f"{stage.ratio:.3g} normal for each positive one, "
            log.info(
                "stage %d/%d: samples %sof difficulty %.0f to %.0f %%, in batches of %d",
                *(number + 1, len(curriculum.stages), mix),
                *(100 * stage.easiest, 100 * stage.hardest, self.order.sizes[number]),
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Consolidate a stage's weights before the checkpoint that ends it."""
        assert isinstance(pl_module, TaskModule)
        curriculum, epoch, held = self.order.curriculum, trainer.current_epoch, pl_module.objective
        stage = curriculum.stage_of(epoch)
        ends = stage + 1 < len(curriculum.stages) and curriculum.last_epoch(stage) == epoch
        if not (ends and isinstance(held, ElasticWeightConsolidation)):
            return
        places = curriculum.draw(epoch, curriculum.size)[: self.samples]
        held.consolidate(
            pl_module, (self._batch(trainer, place) for place in torch.split(places, 1))
        )

    def _batch(self, trainer: Trainer, place: Tensor) -> object:
        """A training sample as a batch, where and as the trainer has its batches."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, CurriculumData)
        batch = trainer.precision_plugin.convert_input(data.batch_at(place))
        return data.transfer_batch_to_device(batch, trainer.strategy.root_device, 0)
