"""`training.stages`: which towers rest in an epoch, at what rates the others learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tutelage.core.records import Table
from tutelage.tasks.multimodal.config import StageConfig
from tutelage.tasks.multimodal.module import TwoTowerModule
from tutelage.training.schedulers import WarmupLR


def stage_of(stages: Sequence[StageConfig], epoch: int) -> int:
    """Return the number of the stage of ``epoch``, from 0; the last one goes on to the end."""
    begun = 0
    for number, stage in enumerate(stages[:-1]):
        begun += stage.epochs
        if epoch < begun:
            return number
    return len(stages) - 1


class StageCallback(Callback):
    """Puts a module into the stage of each epoch; nothing of it needs to be saved.

    Args:
        stages: In their order.
    """

    def __init__(self, stages: Sequence[StageConfig]) -> None:
        self.stages = stages
        self._entered: int | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Enter the epoch's stage, where it is another than the last batch's."""
        assert isinstance(pl_module, TwoTowerModule)
        number = stage_of(self.stages, trainer.current_epoch)
        if number != self._entered:
            self._entered = number
            pl_module.enter(self.stages[number].freeze, self.stages[number].queue)
            self._set_rates(trainer, pl_module, self.stages[number])
        pl_module.keep_resting()

    def _set_rates(self, trainer: Trainer, module: TwoTowerModule, stage: StageConfig) -> None:
        """Set each group's rate for this step, and the peak that the schedule goes on from."""
        peak = module.training_config.learning_rate
        every = [config.scheduler for config in trainer.lr_scheduler_configs]
        schedules = [schedule for schedule in every if isinstance(schedule, WarmupLR)]
        for at, group in enumerate(trainer.optimizers[0].param_groups):
            rate = peak * getattr(stage.rates, module.group_parts[at])
            group["lr"] = rate
            for schedule in schedules:
                schedule.base_lrs[at] = rate
                group["lr"] = rate * schedule.lr_lambdas[at](schedule.last_epoch)


def stages_table(stages: Sequence[StageConfig], max_epochs: int) -> Table:
    """A row for each stage: its epochs, what rested, rates, queue."""
    rows = []
    first = 1
    for number, stage in enumerate(stages, 1):
        last = max_epochs if number == len(stages) else first + stage.epochs - 1
        rates = stage.rates
        rows.append(
            (
                number,
                f"{first} to {last}",
                ", ".join(stage.freeze) or "none",
                rates.image,
                rates.text,
                rates.projections,
                stage.queue,
            )
        )
        first = last + 1
    columns = ("stage", "epochs", "rests", "image rate", "text rate", "projection rate", "queue")
    return Table(title="Stages", columns=columns, rows=tuple(rows))
