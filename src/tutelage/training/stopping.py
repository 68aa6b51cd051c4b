"""`StopWhenAsked`: end training after a step, with a checkpoint to go on from."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tutelage.core.errors import RunStoppedError
from tutelage.core.stopping import StopRequest
from tutelage.training.checkpoints import CheckpointManager


class StopWhenAsked(Callback):
    """Save and stop after the step in which Ctrl-C or SIGTERM came, or the time ran out.

    Several processes stop after the same step.

    Args:
        manager: Takes the checkpoint.
        deadline: Moment of `time.monotonic` at which the time runs out; null for never.
        run: The run's id, for the message.
    """

    def __init__(self, manager: CheckpointManager, deadline: float | None, run: str) -> None:
        self.manager: CheckpointManager = manager
        self.deadline: float | None = deadline
        self.run: str = run
        self.request: StopRequest = StopRequest()
        self._listening = ExitStack()

    @property
    def due(self) -> bool:
        """Whether this process is to stop."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return self.request.asked or late

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, in place of Lightning, which would lose the step."""
        self._listening.enter_context(self.request.listening())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask for a checkpoint as soon as it can be taken; it is the last."""
        if trainer.strategy.reduce_boolean_decision(self.due, all=False):
            self.manager.save_and(self._stop)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hear what came after the last step too."""
        self._listening.close()
        if self.due:
            self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Listen no longer."""
        self._listening.close()

    def _stop(self) -> None:
        why = "as asked" if self.request.asked else "as training.max_time is over"
        raise RunStoppedError(f"interrupted {why}; what was trained is saved", where=self.run)
